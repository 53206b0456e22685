package positlauncher

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/atelier-go/atelier/launcher"
)

// A log is what a host keeps of a workload's output: the newest, from the first byte
// that it keeps on. Whoever reads is cut off after some bytes.
type log struct {
	text   []byte
	gone   int // bytes that are not kept any more
	after  int // of which a reader is cut off; zero is never
	opened func()
}

var errCut = errors.New("the connection broke")

func (l *log) open(o launcher.LogOptions) (io.ReadCloser, error) {
	if l.opened != nil {
		l.opened()
	}
	kept := l.text[l.gone:]
	kept = kept[min(int(o.Offset), len(kept)):]
	var r io.Reader = bytes.NewReader(kept)
	if o.Follow && l.after > 0 && l.after < len(kept) {
		r = io.MultiReader(bytes.NewReader(kept[:l.after]), broken{})
	}
	return io.NopCloser(r), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errCut }

// lines are as many bytes of output, of which no two lines are equal.
func lines(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d of many\n", i)
	}
	return b.Bytes()[:n]
}

// read reads from a place on until the end or the connection breaks.
func (p *place) read(l *log) (text []byte, lost bool, err error) {
	logs, lost, err := p.open(l.open, launcher.LogOptions{})
	if err != nil {
		return nil, false, err
	}
	defer logs.Close()
	text, err = io.ReadAll(logs)
	p.pass(text)
	return text, lost, err
}

// Whatever a host has dropped before the place, what follows is read once; and a gap is
// told of where what was read last is not kept.
func TestPlace(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	all := lines(1 << 20)
	moved, gaps := 0, 0
	for range 100 {
		l := &log{after: 2*anchor + dice.IntN(2*anchor)}
		var p place
		at, known := 0, 0 // of all; and how much of what is before it was read in one go
		for written := 0; at < len(all); {
			written = min(len(all), written+dice.IntN(4*anchor))
			l.text = all[:written]
			if dice.IntN(2) == 0 {
				l.gone = min(written, l.gone+dice.IntN(2*anchor))
				moved++
			}
			text, lost, err := p.read(l)
			if err != nil && !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			if want := known > 0 && l.gone > at-min(known, anchor); lost != want {
				t.Fatalf("after %d bytes, with %d gone, a gap is told of: %t", at, l.gone, lost)
			}
			if lost || known == 0 {
				at, known = l.gone, 0
			}
			if lost {
				gaps++
			}
			if !bytes.HasPrefix(all[at:], text) || err == nil && at+len(text) != written {
				t.Fatalf("after %d bytes, with %d gone, %d bytes are not what follows", at, l.gone, len(text))
			}
			at, known = at+len(text), known+len(text)
		}
	}
	if moved == 0 || gaps == 0 {
		t.Errorf("%d times something was dropped, %d gaps: this shows nothing", moved, gaps)
	}
}

// What is dropped between the look and the reading is seen, and found at the next try.
func TestPlaceMoves(t *testing.T) {
	l := &log{text: lines(8 * anchor)}
	var p place
	if _, _, err := p.read(l); err != nil {
		t.Fatal(err)
	}
	n := 0
	l.opened = func() {
		if n++; n == 2 { // to be read
			l.gone = anchor / 2
		}
	}
	if _, _, err := p.read(l); !errors.Is(err, errMoved) {
		t.Errorf("it is read on at another place (%v)", err)
	}
	l.text = lines(9 * anchor)
	if text, lost, err := p.read(l); err != nil || lost || !bytes.Equal(text, l.text[8*anchor:]) {
		t.Errorf("%d bytes, a gap %t, %v; want the %d that came", len(text), lost, err, anchor)
	}
}

// A gap that was found and could not be read past is there at the next try, as is all
// that follows it, whatever fails before something was read.
func TestPlaceAfterAFailure(t *testing.T) {
	for name, fail := range map[string]func(p *place, l *log) error{
		"opening": func(p *place, l *log) error {
			return failure(p.open(func(o launcher.LogOptions) (io.ReadCloser, error) {
				if o.Follow { // the look before it went well
					return nil, errCut
				}
				return l.open(o)
			}, launcher.LogOptions{}))
		},
		"what comes between opening and reading": func(p *place, l *log) error {
			return errors.Join(failure(p.open(l.open, launcher.LogOptions{})), errCut)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &log{text: lines(4 * anchor)}
			var p place
			if _, _, err := p.read(l); err != nil {
				t.Fatal(err)
			}
			l.text, l.gone = lines(16*anchor), 8*anchor
			if err := fail(&p, l); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			if text, lost, err := p.read(l); err != nil || !lost || !bytes.Equal(text, l.text[l.gone:]) {
				t.Errorf("%d bytes, a gap %t, %v; want the %d that are kept, after a gap", len(text), lost, err, len(l.text)-l.gone)
			}
			l.text = append(l.text, "end\n"...)
			if text, lost, err := p.read(l); err != nil || lost || string(text) != "end\n" {
				t.Errorf("%d bytes, a gap %t, %v; want the last line, and no gap", len(text), lost, err)
			}
		})
	}
}

// failure is the error of an opening.
func failure(logs io.ReadCloser, _ bool, err error) error {
	if err == nil {
		err = logs.Close()
	}
	return err
}

// Where it can be where it was, it is, also in output that repeats.
func TestPlaceInRepetition(t *testing.T) {
	l := &log{text: bytes.Repeat([]byte("again\n"), anchor)}
	var p place
	if _, _, err := p.read(l); err != nil {
		t.Fatal(err)
	}
	l.text = append(l.text, "end\n"...)
	if text, lost, err := p.read(l); err != nil || lost || string(text) != "end\n" {
		t.Errorf("%d bytes, a gap %t, %v; want the last line", len(text), lost, err)
	}
}
