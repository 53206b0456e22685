package positlauncher

import (
	"bytes"
	"errors"
	"io"

	"github.com/atelier-go/atelier/launcher"
)

// anchor is how many bytes of what was read last a place is known by. What a job writes
// over and over in longer periods is found, what repeats within them may be found too
// early: it is then told twice rather than not at all.
const anchor = 64 << 10

// A place is how far the output of a run was read. Hosts keep the newest of what a
// workload writes alone, and count from the first byte that they keep
// ([launcher.LogOptions]); so a place is known by what stands before it, and how many
// bytes were read is only where that is looked for first. The count errs also where
// nothing was dropped: Docker 28.2 was seen to tell who follows some lines twice as it
// begins another file.
type place struct {
	begun  bool   // whether anything was read
	offset int64  // from the first byte that was kept when the output was opened
	last   []byte // what was read before it, as far as an anchor
	lost   bool   // whether there is a gap before what is read next
}

// opener opens the output of a run.
type opener func(launcher.LogOptions) (io.ReadCloser, error)

var errMoved = errors.New("the host has dropped older output meanwhile")

// pass notes what was read, by who was told by open whether there is a gap before it.
func (p *place) pass(text []byte) {
	p.begun, p.offset, p.lost = p.begun || len(text) > 0, p.offset+int64(len(text)), false
	p.last = append(p.last, text...)
	if more := len(p.last) - anchor; more > 0 {
		p.last = append(p.last[:0], p.last[more:]...)
	}
}

// open opens the output to be followed from the place on. Where that is not kept any
// more it is from the first byte that is, and lost is true: there is a gap, which is
// told until something is passed. After an error the place is what it was.
func (p *place) open(open opener, options launcher.LogOptions) (logs io.ReadCloser, lost bool, err error) {
	options.Follow, options.Offset = false, p.offset-int64(len(p.last))
	found := len(p.last) == 0
	if !found {
		if found, err = p.stands(open, options); err != nil {
			return nil, false, err
		}
	}
	if !found {
		options.Offset = 0
		if options.Offset, found, err = p.search(open, options); err != nil {
			return nil, false, err
		}
	}
	last := p.last
	if !found {
		last = nil
	}
	options.Follow = true
	if logs, err = open(options); err != nil {
		return nil, false, err
	}
	if err := skip(logs, last); err != nil {
		_ = logs.Close() // it was only read
		return nil, false, err
	}
	p.last, p.offset, p.lost = last, options.Offset+int64(len(last)), p.lost || !found
	return logs, p.lost, nil
}

// stands reports whether what was read last is at an offset.
func (p *place) stands(open opener, options launcher.LogOptions) (bool, error) {
	logs, err := open(options)
	if err != nil {
		return false, err
	}
	defer func() { _ = logs.Close() }() // it was only read
	switch err := skip(logs, p.last); {
	case errors.Is(err, errMoved):
		return false, nil
	default:
		return err == nil, err
	}
}

// skip reads over what was read last. If something else is there, it is errMoved.
func skip(logs io.Reader, last []byte) error {
	text := make([]byte, len(last))
	n, err := io.ReadFull(logs, text)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errMoved
	case err != nil:
		return err
	case !bytes.Equal(text[:n], last):
		return errMoved
	}
	return nil
}

// search looks through all that is kept for where what was read last begins.
func (p *place) search(open opener, options launcher.LogOptions) (at int64, found bool, err error) {
	logs, err := open(options)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = logs.Close() }() // it was only read
	var window []byte
	for buf := make([]byte, maxChunk); ; {
		n, err := logs.Read(buf)
		window = append(window, buf[:n]...)
		if i := bytes.Index(window, p.last); i >= 0 {
			return at + int64(i), true, nil
		}
		if past := len(window) - len(p.last) + 1; past > 0 {
			at, window = at+int64(past), append(window[:0], window[past:]...)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return 0, false, err
		}
	}
}
