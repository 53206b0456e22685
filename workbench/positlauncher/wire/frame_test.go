package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// frame is text with its length before it.
func frame(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// frames is several of them in a row.
func frames(texts ...string) []byte {
	var all []byte
	for _, text := range texts {
		all = append(all, frame(text)...)
	}
	return all
}

// allocated is how many bytes f takes from the heap, whether it keeps them or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// readAll is what a Reader says until its end, and that.
func readAll(r io.Reader, limit int) (texts []string, sizes []wire.SizeError, end error) {
	reader := wire.NewReader(r, limit)
	for {
		text, err := reader.Next()
		if e, ok := errors.AsType[*wire.SizeError](err); ok {
			sizes = append(sizes, *e)
			continue
		}
		if err != nil {
			return texts, sizes, err
		}
		texts = append(texts, string(text))
	}
}

func TestReader(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		in    io.Reader
		limit int
		want  []string
		sizes []wire.SizeError
		end   error
	}{
		"nothing":                {in: bytes.NewReader(nil), end: io.EOF},
		"one":                    {in: bytes.NewReader(frame("{}")), want: []string{"{}"}, end: io.EOF},
		"an empty one":           {in: bytes.NewReader(frames("", "{}")), want: []string{"", "{}"}, end: io.EOF},
		"several":                {in: bytes.NewReader(frames("{}", `{"a":1}`, "x")), want: []string{"{}", `{"a":1}`, "x"}, end: io.EOF},
		"byte by byte":           {in: iotest.OneByteReader(bytes.NewReader(frames("{}", `{"a":1}`))), want: []string{"{}", `{"a":1}`}, end: io.EOF},
		"the end with the data":  {in: iotest.DataErrReader(bytes.NewReader(frame("{}"))), want: []string{"{}"}, end: io.EOF},
		"at the limit":           {in: bytes.NewReader(frames("12345", "x")), limit: 5, want: []string{"12345", "x"}, end: io.EOF},
		"over the limit":         {in: bytes.NewReader(frames("a", "123456", "b")), limit: 5, want: []string{"a", "b"}, sizes: []wire.SizeError{{Size: 6, Limit: 5}}, end: io.EOF},
		"over, byte by byte":     {in: iotest.OneByteReader(bytes.NewReader(frames("123456", "b"))), limit: 5, want: []string{"b"}, sizes: []wire.SizeError{{Size: 6, Limit: 5}}, end: io.EOF},
		"two over the limit":     {in: bytes.NewReader(frames("123456", "1234567", "b")), limit: 5, want: []string{"b"}, sizes: []wire.SizeError{{Size: 6, Limit: 5}, {Size: 7, Limit: 5}}, end: io.EOF},
		"over the usual limit":   {in: bytes.NewReader(frames(strings.Repeat("x", wire.DefaultLimit+1), "b")), want: []string{"b"}, sizes: []wire.SizeError{{Size: wire.DefaultLimit + 1, Limit: wire.DefaultLimit}}, end: io.EOF},
		"an end in a header":     {in: bytes.NewReader(append(frame("{}"), 0, 0)), want: []string{"{}"}, end: io.ErrUnexpectedEOF},
		"an end after a header":  {in: bytes.NewReader(frame("{}")[:4]), end: io.ErrUnexpectedEOF},
		"an end in a frame":      {in: bytes.NewReader(frame("{}")[:5]), end: io.ErrUnexpectedEOF},
		"an end in one over":     {in: bytes.NewReader(frame("123456")[:9]), limit: 5, end: io.ErrUnexpectedEOF},
		"what are no frames":     {in: strings.NewReader("HTTP/1.1 400 Bad Request\r\n\r\n"), end: wire.ErrLost},
		"a length out of bounds": {in: bytes.NewReader([]byte{255, 255, 255, 255, '{', '}'}), end: wire.ErrLost},
		"an error in a header":   {in: iotest.ErrReader(broken), end: broken},
		"an error in a frame":    {in: io.MultiReader(bytes.NewReader(frame("{}")[:5]), iotest.ErrReader(broken)), end: broken},
		"an error in one over":   {in: io.MultiReader(bytes.NewReader(frame("123456")[:9]), iotest.ErrReader(broken)), limit: 5, end: broken},
	} {
		t.Run(name, func(t *testing.T) {
			got, sizes, end := readAll(c.in, c.limit)
			if !reflect.DeepEqual(got, c.want) || !reflect.DeepEqual(sizes, c.sizes) {
				t.Errorf("read %.40q, too large %v; want %.40q, %v", got, sizes, c.want, c.sizes)
			}
			if !errors.Is(end, c.end) {
				t.Errorf("it ended with %v; want %v", end, c.end)
			}
		})
	}
}

// What a frame claims costs nothing: memory is taken for what arrives.
func TestReaderMemory(t *testing.T) {
	whole := frame(strings.Repeat("x", wire.DefaultLimit))
	for name, c := range map[string]struct {
		in   []byte
		most uint64
	}{
		"a claim":             {whole[:4+3], 72 << 10},
		"a small frame":       {frame("{}"), 72 << 10},
		"a tenth of a claim":  {whole[:len(whole)/10], 1400 << 10},
		"a frame at limit":    {whole, wire.DefaultLimit * 21 / 10},
		"many at the limit":   {bytes.Repeat(whole, 4), wire.DefaultLimit * 21 / 10},
		"one over the limit":  {frame(strings.Repeat("x", wire.DefaultLimit+1)), 72 << 10},
		"a claim of gigabyte": {binary.BigEndian.AppendUint32(nil, 1<<30-1), 72 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			in, reader := bytes.NewReader(c.in), &wire.Reader{}
			got := allocated(func() {
				reader = wire.NewReader(in, 0)
				for {
					if _, err := reader.Next(); err != nil && !errors.As(err, new(*wire.SizeError)) {
						return
					}
				}
			})
			if got > c.most {
				t.Errorf("it took %d bytes; want at most %d", got, c.most)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	got, err := wire.Encode(wire.JobState{}, 0)
	want := frame(`{"messageType":0,"requestId":0,"responseId":0,"jobs":[]}`)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	size := len(want) - 4
	if _, err := wire.Encode(wire.JobState{}, size); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	_, err = wire.Encode(wire.JobState{}, size-1)
	if e, ok := errors.AsType[*wire.SizeError](err); !ok || *e != (wire.SizeError{Size: size, Limit: size - 1}) {
		t.Errorf("over the limit: %v", err)
	} else if !strings.Contains(e.Error(), "at most") {
		t.Errorf("the error says %q", e)
	}
	if _, err := wire.Encode(wire.JobOutput{Output: strings.Repeat("x", wire.DefaultLimit)}, 0); err == nil {
		t.Error("a message over the usual limit is encoded")
	}
	if _, err := wire.Encode(wire.ResourceUtil{CPUTime: math.NaN()}, 0); err == nil {
		t.Error("not a number is encoded")
	}
	if _, err := wire.Encode(func() {}, 0); err == nil {
		t.Error("a function is encoded")
	}
	// What is encoded stays as it was: others may be reading it.
	state := &wire.JobState{}
	if _, err := wire.Encode(state, 0); err != nil || state.Jobs != nil {
		t.Errorf("encoding made %#v of an empty list: %v", state.Jobs, err)
	}
}
