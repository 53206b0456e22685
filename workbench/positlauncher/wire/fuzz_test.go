package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// value is what a pointer to a message points to.
func value(message any) any { return reflect.ValueOf(message).Elem().Interface() }

// split is what a Reader with that limit has to say of data, worked out at once.
func split(data []byte, limit int) (texts []string, sizes []wire.SizeError, end error) {
	for {
		switch {
		case len(data) == 0:
			return texts, sizes, io.EOF
		case len(data) < 4:
			return texts, sizes, io.ErrUnexpectedEOF
		}
		size := int64(binary.BigEndian.Uint32(data))
		data = data[4:]
		switch {
		case size >= 1<<30:
			return texts, sizes, wire.ErrLost
		case size > int64(len(data)):
			return texts, sizes, io.ErrUnexpectedEOF
		case size > int64(limit):
			sizes = append(sizes, wire.SizeError{Size: int(size), Limit: limit})
		default:
			texts = append(texts, string(data[:size]))
		}
		data = data[size:]
	}
}

// A Reader says the same however the bytes arrive, and takes no more than its limit
// may need.
func FuzzReader(f *testing.F) {
	f.Add(frames("{}", `{"messageType":0,"requestId":0}`), uint16(100))
	f.Add(frames("", "123456", "x"), uint16(5))
	f.Add(frames("{}")[:5], uint16(0))
	f.Add([]byte{0, 80, 0, 0, 1, 2, 3}, uint16(1))
	f.Add([]byte("HTTP/1.1 200 OK\r\n"), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, limit uint16) {
		most := int(limit)
		if most == 0 {
			most = wire.DefaultLimit
		}
		texts, sizes, end := split(data, most)
		for name, in := range map[string]io.Reader{
			"at once":              bytes.NewReader(data),
			"byte by byte":         iotest.OneByteReader(bytes.NewReader(data)),
			"by halves":            iotest.HalfReader(bytes.NewReader(data)),
			"the end with the end": iotest.DataErrReader(bytes.NewReader(data)),
		} {
			gotTexts, gotSizes, gotEnd := readAll(in, int(limit))
			if !reflect.DeepEqual(gotTexts, texts) || !reflect.DeepEqual(gotSizes, sizes) || !errors.Is(gotEnd, end) {
				t.Errorf("%s: %q, %v, %v; want %q, %v, %v", name, gotTexts, gotSizes, gotEnd, texts, sizes, end)
			}
		}
		took := allocated(func() {
			for r, err := wire.NewReader(bytes.NewReader(data), int(limit)), error(nil); err == nil || errors.As(err, new(*wire.SizeError)); {
				_, err = r.Next()
			}
		})
		if bound := uint64(80<<10 + 5*len(data) + len(sizes)*200); took > bound {
			t.Errorf("%d bytes took %d; want at most %d", len(data), took, bound)
		}
	})
}

// A decoded request is a fixed point: written and read again it is the same. What is
// refused is known by its number if that can be read at all. Its seeds, one for each
// type of request, are in testdata.
func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		var got wire.Request
		var err error
		took := allocated(func() { got, err = wire.Decode(text) })
		if bound := uint64(min(800*len(text), wire.DefaultLimit) + 8*len(text) + 256<<10); took > bound {
			t.Errorf("%d bytes took %d; want at most %d", len(text), took, bound)
		}
		var head struct {
			Type *int    `json:"messageType"`
			ID   *uint64 `json:"requestId"`
		}
		known := json.Unmarshal(text, &head) == nil && head.Type != nil && head.ID != nil
		if err != nil {
			e, ok := errors.AsType[*wire.DecodeError](err)
			if !ok || e.Err == nil || !reflect.DeepEqual(got, wire.Request{}) {
				t.Fatalf("%+v, %#v; want a DecodeError alone", got, err)
			}
			if e.Known != known || known && (int(e.Type) != *head.Type || e.ID != *head.ID) {
				t.Errorf("request %d of type %d is known: %v; want %v", e.ID, e.Type, e.Known, known)
			}
			return
		}
		if !known || int(got.Type) != *head.Type || got.ID != *head.ID {
			t.Fatalf("request %d of type %d comes of %q", got.ID, got.Type, text)
		}
		if got.Job == nil {
			return
		}
		first, err := json.Marshal(got.Job)
		if err != nil {
			t.Fatal(err)
		}
		again, err := wire.Decode([]byte(of(2, `"job":`+string(first))))
		if err != nil {
			if strings.Contains(err.Error(), "at most") { // absent fields have become present ones
				return
			}
			t.Fatalf("%s is not understood: %v", first, err)
		}
		second, err := json.Marshal(again.Job)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("written again, it changes: %v\n%s\n%s", err, first, second)
		}
	})
}

// What is encoded is a frame whose JSON has what was in the message, with nothing
// null but what the message made so.
func FuzzEncodeDecode(f *testing.F) {
	f.Add("j-1", "name", "hello\n", uint64(7), uint64(1), int64(0), 1.5, uint8(3))
	f.Add("", "\xff\xfe", "\u2028<&>\x00", uint64(1<<64-1), uint64(0), int64(-1), math.MaxFloat64, uint8(0))
	f.Add("null", `"`, `\`, uint64(0), uint64(9), int64(999), -1.5, uint8(1))
	f.Fuzz(func(t *testing.T, id, name, text string, request, sequence uint64, code int64, number float64, n uint8) {
		if math.IsNaN(number) || math.IsInf(number, 0) {
			return
		}
		h := wire.Header{RequestID: request, ResponseID: sequence}
		names, sequences := make([]string, n%4), make([]wire.Sequence, n%4)
		for i := range names {
			names[i], sequences[i] = name, wire.Sequence{RequestID: request, SequenceID: sequence}
		}
		exit := int(code)
		for _, message := range []any{
			&wire.Error{Header: h, Code: wire.ErrorCode(code), Message: text},
			&wire.Bootstrap{Header: h, Version: wire.Version{Major: exit}},
			&wire.JobState{Header: h, Jobs: []wire.Job{{ID: id, Name: name, Stdin: text, Tags: names, ExitCode: &exit}}},
			&wire.JobStatus{Header: h, Sequences: sequences, ID: id, Name: name, StatusMessage: text},
			&wire.ControlJob{Header: h, StatusMessage: text, OperationComplete: n > 1},
			&wire.JobOutput{Header: h, SequenceID: sequence, Output: text, OutputType: wire.OutputType(n % 3), Complete: n > 1},
			&wire.ResourceUtil{Header: h, Sequences: sequences, CPUPercent: number, ResidentMemory: -number},
			&wire.JobNetwork{Header: h, Host: name, IPAddresses: names},
			&wire.ClusterInfo{Header: h, Images: names, DefaultImage: id, Config: []wire.Setting{{Name: name, Value: wire.Text(text)}}},
			&wire.ConfigReload{Header: h, ErrorType: wire.ReloadError(code), ErrorMessage: text},
			&wire.Metrics{Header: h, UptimeSeconds: sequence, Latency: &wire.Histogram{Sum: number}},
			&h,
		} {
			frame, err := wire.Encode(message, 0)
			if err != nil {
				t.Fatal(err)
			}
			texts, _, end := readAll(bytes.NewReader(frame), 0)
			if len(texts) != 1 || end != io.EOF {
				t.Fatalf("%d frames and %v of %q", len(texts), end, frame)
			}
			back := reflect.New(reflect.TypeOf(message).Elem()).Interface()
			if err := json.Unmarshal([]byte(texts[0]), back); err != nil {
				t.Fatalf("%s: %v", texts[0], err)
			}
			again, err := wire.Encode(back, 0)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fold(frame[4:]), fold(again[4:])); diff != "" {
				t.Errorf("%T comes back otherwise (-was +is)\n%s", message, diff)
			}
			var raw any
			if err := json.Unmarshal([]byte(texts[0]), &raw); err != nil || hasNull(raw) {
				t.Errorf("there is a null in %s", texts[0])
			}
			if m, ok := message.(*wire.JobOutput); ok && raw.(map[string]any)["output"] != strings.ToValidUTF8(m.Output, "\uFFFD") && raw.(map[string]any)["output"] != string([]rune(m.Output)) {
				t.Errorf("output %q is written as %q", m.Output, raw.(map[string]any)["output"])
			}
		}
	})
}

// fold is JSON without the two ways to write a byte that is no UTF-8.
func fold(text []byte) string { return strings.ReplaceAll(string(text), `\ufffd`, "\uFFFD") }

func hasNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return slices.ContainsFunc(v, hasNull)
	case map[string]any:
		for _, e := range v {
			if hasNull(e) {
				return true
			}
		}
	}
	return false
}
