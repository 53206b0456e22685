package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

const header = "user,start_s,end_s,vcpus,memory_mib,gpus\n"

func TestReadTrace(t *testing.T) {
	got, err := readTrace(strings.NewReader(header + "bob,60,3600.5,0.25,512,0\n\"smith, alice\",0.001,10,16,30000,0\nbob,60,70,1,1024,0\n"))
	want := []Visit{
		{"smith, alice", time.Millisecond, 10 * time.Second, launcher.Resources{MilliCPU: 16000, MemoryMiB: 30000}},
		{"bob", time.Minute, 3600500 * time.Millisecond, launcher.Resources{MilliCPU: 250, MemoryMiB: 512}},
		{"bob", time.Minute, 70 * time.Second, launcher.Resources{MilliCPU: 1000, MemoryMiB: 1024}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// TestReadTraceRefused: one error names every line that is wrong, and nothing else.
func TestReadTraceRefused(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // line by line
	}{
		{"empty", "", []string{`line 1: header "": want "user,start_s,end_s,vcpus,memory_mib,gpus"`}},
		{"no header", "alice,0,60,1,1024,0\n", []string{`line 1: header "alice,0,60,1,1024,0": want`}},
		{"another order", "user,end_s,start_s,vcpus,memory_mib,gpus\n", []string{"line 1: header"}},
		{"header alone", header, []string{"no sessions"}},
		{"many", header +
			"alice,0,60,1,1024,0\n" +
			",0,60,1,1024,0\n" +
			"alice,-1,x,0,1.5,-1\n" +
			"alice,0,60,1,1024\n" +
			"\n" +
			"alice,60,60,1,1024,0\n" +
			"alice,0,60,1,1024,2\n" +
			"alice,0,60,17,1024,0\n" +
			"alice,0,60,1,65536,0\n" +
			"alice,0,60,1.0001,1024,0\n" +
			"alice,0,1e99,1,1024,0\n" +
			"alice,NaN,60,1,1024,0\n" +
			"al\"ice,0,60,1,1024,0\n" +
			"\"alice\nsmith\",0,60,1,1024,7\n" +
			"alice,0,60,99,1024,0\n", []string{
			"line 3: user is empty",
			`line 4: start_s "-1": want a number from 0 to 31622400, with thousandths at most; end_s "x": want a number from 0 to 31622400, with thousandths at most; ` +
				`vcpus "0": want a number from 0.001 to 1000000, with thousandths at most; memory_mib "1.5": want a whole number from 1; gpus "-1": want a whole number from 0`,
			"line 5: 5 fields: want 6",
			"line 7: end_s 60: want more than start_s, which is 60",
			"line 8: gpus 2: none of the host types has a GPU (m5.large, ",
			"line 9: 17 vCPU, 1 GiB: no host type holds it; the largest has 16 vCPU, ",
			"line 10: 1 vCPU, 64 GiB: no host type holds it",
			`line 11: vcpus "1.0001"`,
			`line 12: end_s "1e99"`,
			`line 13: start_s "NaN"`,
			`line 14: column 3: bare " in non-quoted-field`,
			"line 15: gpus 7",
			"line 17: 99 vCPU",
		}},
		{"open quote", header + "\"alice,0,60,1,1024,0\nbob,0,60,1,1024,0\n", []string{"line 3: column 19: extraneous or missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			trace, err := readTrace(strings.NewReader(c.text))
			if err == nil || trace != nil {
				t.Fatalf("%v, %v", trace, err)
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) != len(c.want) {
				t.Errorf("%d problems, want %d:\n%v", len(got), len(c.want), err)
			}
			for i := range min(len(got), len(c.want)) {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("%q\nwant %q", got[i], c.want[i])
				}
			}
		})
	}
}

// TestReadTraceFails: what cannot be read ends it, after the lines that are wrong.
func TestReadTraceFails(t *testing.T) {
	broken := errors.New("the disk is gone")
	for _, text := range []string{"", header, header + "alice,0,60,1,1024,9\n"} {
		trace, err := readTrace(iotest.TimeoutReader(failing{strings.NewReader(text), broken}))
		if trace != nil || !errors.Is(err, broken) && !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("after %q: %v, %v", text, trace, err)
		}
	}
}

// failing fails at the end of a text.
type failing struct {
	*strings.Reader
	err error
}

func (f failing) Read(b []byte) (int, error) {
	if f.Len() == 0 {
		return 0, f.err
	}
	return f.Reader.Read(b)
}

// FuzzReadTrace: whatever is read, it is a trace that can be played, and written it
// is read again as it was.
func FuzzReadTrace(f *testing.F) {
	f.Add("alice,0,60,1,1024,0")
	f.Add("alice,0,60,1,1024,0\nbob,1.5,2,0.5,1,0\n\n\"x\ny\",1e3,9999,16,60000,0")
	f.Add("alice,0,60,1,1024")
	f.Add("\"alice,0x1p3,60,1,1024,0")
	f.Fuzz(func(t *testing.T, lines string) {
		trace, err := readTrace(strings.NewReader(header + lines))
		if err != nil {
			if trace != nil {
				t.Errorf("%v and a trace: %v", err, trace)
			}
			return
		}
		if len(trace) == 0 || !slices.IsSortedFunc(trace, func(a, b Visit) int { return int(a.Start - b.Start) }) {
			t.Errorf("%v", trace)
		}
		for _, v := range trace {
			w := Options{Policy: "pool"}.workload("s000000", v)
			if err := w.Validate(); err != nil || v.Start < 0 || v.End <= v.Start || v.End > longestTrace || len(fits(v.Size)) > 0 {
				t.Errorf("%+v: %v", v, err)
			}
		}
		again, err := readTrace(bytes.NewReader(written(t, trace)))
		if err != nil || !reflect.DeepEqual(again, trace) {
			t.Errorf("read again it is %v, %v; want %v", again, err, trace)
		}
	})
}

// written is a trace as a file.
func written(t *testing.T, trace []Visit) []byte {
	t.Helper()
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	decimal := func(thousandths int64) string { return strconv.FormatFloat(float64(thousandths)/1000, 'f', -1, 64) }
	_ = w.Write(columns)
	for _, v := range trace {
		_ = w.Write([]string{
			v.User, decimal(v.Start.Milliseconds()), decimal(v.End.Milliseconds()), decimal(v.Size.MilliCPU),
			strconv.FormatInt(v.Size.MemoryMiB, 10), strconv.FormatInt(v.Size.GPUs, 10),
		})
	}
	if w.Flush(); w.Error() != nil {
		t.Fatal(w.Error())
	}
	return out.Bytes()
}

// TestTraceFile: a scenario that is written to a file is played as the scenario is,
// and what is wrong with a file is told before anything starts.
func TestTraceFile(t *testing.T) {
	drawn := Options{Scenario: "weekday", Sessions: 12, Users: 5, Seed: 4, Policy: "pool", Overcommit: 1}
	file := filepath.Join(t.TempDir(), "trace.csv")
	if err := os.WriteFile(file, written(t, signin(drawn)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := storms(t, Options{Trace: file, Seed: 4, Policy: "pool", Overcommit: 1, Warm: true})
	if r.Sessions != 12 || r.Running != 12 || r.Failed+r.Orphans+r.Duplicates != 0 || r.Bound != storms(t, Options{Scenario: "signin", Sessions: 12, Users: 5, Seed: 4, Policy: "pool", Overcommit: 1}).Bound {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile(file, []byte(header+"alice,0,60,1,1024,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{file: "line 2: gpus 1: none of the host types has a GPU", file + ".not": "no such file"} {
		var out bytes.Buffer
		err := run(t.Context(), Options{Trace: name, Policy: "pool", Overcommit: 1}, false, &out) // in no bubble: it would take an hour
		if err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
