package positlaunchertest

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// ErrSilent is returned when a plugin does not answer in time.
var ErrSilent = errors.New("positlaunchertest: the plugin does not answer")

// ErrEnded is returned when a plugin has ended, and with it all that it was asked.
var ErrEnded = errors.New("positlaunchertest: the plugin has ended")

// Options are how a [Launcher] treats its plugin. The zero value is right.
type Options struct {
	// Heartbeat is how often it asks for a sign of life. Zero is never.
	Heartbeat time.Duration
	// Patience is how long a sign of life may take to come. Zero is until it would ask
	// again, or a second if that is longer.
	Patience time.Duration
	// Answer is how long any answer may take. Zero is 10 seconds.
	Answer time.Duration
	// Exit is how long the plugin may take to end when it is told to. Zero is 5
	// seconds.
	Exit time.Duration
}

// A Launcher is the Launcher's side of one plugin. It holds every message of the
// plugin to the protocol, and what does not fit is an error of the test. Its methods
// may be used by several goroutines.
type Launcher struct {
	t      testing.TB
	plugin Plugin
	o      Options

	out     chan []byte   // what is to be written, to the goroutine that does
	written chan error    // of what was taken from out
	writing chan struct{} // held by who uses these two
	reading chan struct{} // held by the reader for each message, and by Pause
	quit    chan struct{} // closed when the plugin is to end
	ended   chan struct{} // closed when its output has
	work    sync.WaitGroup

	mu       sync.Mutex
	book     book
	closing  bool
	closed   bool
	closeErr error
}

// Connect begins to speak to a plugin. At the end of the test it closes the plugin's
// input, after which the plugin has to end without an error.
func Connect(t testing.TB, p Plugin, o Options) *Launcher {
	if o.Answer == 0 {
		o.Answer = 10 * time.Second
	}
	if o.Exit == 0 {
		o.Exit = 5 * time.Second
	}
	l := &Launcher{
		t: t, plugin: p, o: o, book: newBook(),
		out: make(chan []byte), written: make(chan error), writing: make(chan struct{}, 1),
		reading: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	l.work.Go(l.write)
	l.work.Go(l.read)
	if o.Heartbeat > 0 {
		l.work.Go(l.beat)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("the plugin at its end: %v", err)
		}
	})
	return l
}

// write writes what it is given until the plugin is to end.
func (l *Launcher) write() {
	for {
		select {
		case data := <-l.out:
			_, err := l.plugin.Stdin.Write(data)
			select {
			case l.written <- err:
			case <-l.quit:
				return
			}
		case <-l.quit:
			return
		}
	}
}

// Write writes bytes as they are, whether they are messages or not. It returns
// [ErrSilent] if the plugin does not read them in time.
func (l *Launcher) Write(data []byte) (int, error) {
	if err := l.send(func() [][]byte { return [][]byte{data} }); err != nil {
		return 0, err
	}
	return len(data), nil
}

// Trickle writes bytes one by one, with nothing else between them.
func (l *Launcher) Trickle(data []byte) error {
	pieces := make([][]byte, len(data))
	for i := range data {
		pieces[i] = data[i : i+1]
	}
	return l.send(func() [][]byte { return pieces })
}

// send writes what enter returns, in as many pieces. It holds the lock meanwhile, and
// enters what is written in the order in which that happens.
func (l *Launcher) send(enter func() [][]byte) error {
	patience := time.NewTimer(l.o.Answer)
	defer patience.Stop()
	select {
	case l.writing <- struct{}{}:
		defer func() { <-l.writing }()
	case <-patience.C:
		return errDeaf
	case <-l.quit:
		return ErrEnded
	}
	l.mu.Lock()
	pieces := enter()
	l.mu.Unlock()
	for _, piece := range pieces {
		if err := l.put(piece, patience.C); err != nil {
			return err
		}
	}
	return nil
}

var errDeaf = fmt.Errorf("%w: it does not read its input", ErrSilent)

// put has a piece written.
func (l *Launcher) put(piece []byte, late <-chan time.Time) error {
	select {
	case l.out <- piece:
	case <-late:
		return errDeaf
	case <-l.ended:
		return ErrEnded
	case <-l.quit:
		return ErrEnded
	}
	select {
	case err := <-l.written:
		if err != nil {
			return fmt.Errorf("%w: %w", ErrEnded, err)
		}
		return nil
	case <-late:
		l.work.Go(func() { // whoever comes next must not get this answer
			select {
			case <-l.written:
			case <-l.quit:
			}
		})
		return errDeaf
	case <-l.ended:
		return ErrEnded
	case <-l.quit:
		return ErrEnded
	}
}

// frame is a message with its length before it.
func frame(text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// request writes the next request. What waits for its answer is entered before.
func (l *Launcher) request(kind wire.RequestType, fields map[string]any, enter func(id uint64)) error {
	return l.send(func() [][]byte {
		id := l.book.next()
		enter(id)
		return [][]byte{requestFrame(id, kind, fields)}
	})
}

// requestFrame is a request with its length before it.
func requestFrame(id uint64, kind wire.RequestType, fields map[string]any) []byte {
	message := map[string]any{"messageType": int(kind), "requestId": id}
	maps.Copy(message, fields)
	text, err := json.Marshal(message)
	if err != nil {
		panic(fmt.Sprintf("positlaunchertest: a request of type %d: %v", kind, err))
	}
	return frame(text)
}

// Ask sends a request of any type with any fields, and returns the fields of its
// answer. An error response is a [*wire.Error].
func (l *Launcher) Ask(kind wire.RequestType, fields map[string]any) (map[string]any, error) {
	m, err := l.ask(kind, fields)
	if err != nil {
		return nil, err
	}
	return m.fields, nil
}

func (l *Launcher) ask(kind wire.RequestType, fields map[string]any) (message, error) {
	c := &call{kind: kind, answer: make(chan message, 1)}
	err := l.request(kind, fields, func(id uint64) { l.book.open(id, c) })
	if err != nil {
		return message{}, fmt.Errorf("request of type %d: %w", kind, err)
	}
	return l.await(c)
}

func (l *Launcher) await(c *call) (message, error) {
	patience := time.NewTimer(l.o.Answer)
	defer patience.Stop()
	select {
	case m := <-c.answer:
		return m, m.err()
	case <-patience.C:
		return message{}, fmt.Errorf("request of type %d: %w after %v", c.kind, ErrSilent, l.o.Answer)
	case <-l.ended:
		select {
		case m := <-c.answer:
			return m, m.err()
		default:
			return message{}, fmt.Errorf("request of type %d: %w", c.kind, ErrEnded)
		}
	}
}

// read takes what arrives until the plugin's output ends.
func (l *Launcher) read() {
	defer close(l.ended)
	for {
		text, err := readFrame(l.plugin.Stdout)
		if err != nil {
			l.mu.Lock()
			closing := l.closing
			l.mu.Unlock()
			closed := errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed)
			if !errors.Is(err, io.EOF) && (!closing || !closed) {
				l.t.Errorf("reading from the plugin: %v", err)
			}
			return
		}
		l.reading <- struct{}{}
		l.mu.Lock()
		problems := l.book.take(text, time.Now())
		l.mu.Unlock()
		<-l.reading
		for _, p := range problems {
			l.t.Errorf("%s\nin %.600s", p, text)
		}
	}
}

// readFrame reads one message. It knows nothing of how plugins do.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > wire.DefaultLimit {
		return nil, fmt.Errorf("a message of %d bytes, at most %d; or it begins with %q and is none: does the plugin log on standard output?", size, wire.DefaultLimit, head)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("a message of %d bytes is not whole: %w", size, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return text, nil
}

// Pause stops reading what the plugin writes, but for a message or two, until Resume.
// No heartbeat is asked for meanwhile.
func (l *Launcher) Pause() { l.reading <- struct{}{} }

// Resume reads on after Pause.
func (l *Launcher) Resume() {
	l.mu.Lock()
	if !l.book.beatAt.IsZero() { // its answer has been lying there
		l.book.beatAt = time.Now()
	}
	l.mu.Unlock()
	<-l.reading
}

// beat asks for signs of life.
func (l *Launcher) beat() {
	ticker := time.NewTicker(l.o.Heartbeat)
	defer ticker.Stop()
	text := frame([]byte(`{"messageType":0,"requestId":0}`))
	for {
		select {
		case <-ticker.C:
		case <-l.quit:
			return
		case <-l.ended:
			return
		}
		select { // a Launcher that does not read does not ask
		case l.reading <- struct{}{}:
			<-l.reading
		default:
			continue
		}
		l.mu.Lock()
		late := l.book.beatLate(time.Now())
		l.mu.Unlock()
		if late >= cmp.Or(l.o.Patience, max(l.o.Heartbeat, time.Second))*9/10 {
			l.t.Errorf("a heartbeat is not answered after %v, and another is due", late)
			return
		}
		if late > 0 {
			continue
		}
		err := l.send(func() [][]byte {
			l.book.beatSent(time.Now())
			return [][]byte{text}
		})
		l.mu.Lock()
		closing := l.closing
		l.mu.Unlock()
		if err != nil && !closing && !errors.Is(err, ErrEnded) {
			l.t.Errorf("a heartbeat: %v", err)
			return
		}
	}
}

// Heartbeats returns how long each heartbeat took to be answered until now.
func (l *Launcher) Heartbeats() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.book.beats)
}

// Metrics returns how many messages of metrics have come.
func (l *Launcher) Metrics() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book.metrics
}

// Pardon allows n errors that answer no request, as what cannot be read may have.
func (l *Launcher) Pardon(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.book.pardoned += n
}

// Bootstrap begins with the version of the plugin API that is [wire.API].
func (l *Launcher) Bootstrap() error {
	m, err := l.ask(wire.BootstrapRequest, map[string]any{"version": wire.API})
	if err != nil {
		return err
	}
	var b wire.Bootstrap
	if err := m.into(&b); err != nil {
		return err
	}
	if b.Version.Major != wire.API.Major {
		return fmt.Errorf("the plugin speaks version %d, and was asked for %d", b.Version.Major, wire.API.Major)
	}
	return nil
}

// Close ends the plugin by the end of its input and waits until it has. It returns
// what is wrong with that, and the same when called again.
func (l *Launcher) Close() error {
	return l.end(func() error { return l.plugin.Stdin.Close() }, true)
}

func (l *Launcher) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Terminate ends the plugin by a signal and waits until it has, whatever it says of
// its end. One that takes no such signal goes on: errors.ErrUnsupported.
func (l *Launcher) Terminate(s os.Signal) error {
	return l.end(func() error {
		if l.plugin.Signal == nil {
			return fmt.Errorf("a plugin that takes no signals: %w", errors.ErrUnsupported)
		}
		return l.plugin.Signal(s)
	}, false)
}

func (l *Launcher) end(tell func() error, clean bool) error {
	l.mu.Lock()
	if l.closed {
		defer l.mu.Unlock()
		return l.closeErr
	}
	l.closed, l.closing = true, true
	l.mu.Unlock()
	err := tell()
	if errors.Is(err, errors.ErrUnsupported) { // it was not told, and goes on
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closed, l.closing = false, false
		return err
	}
	gone := make(chan error, 1)
	patience := time.NewTimer(l.o.Exit)
	defer patience.Stop()
	select {
	case <-l.ended:
		go func() { gone <- l.plugin.Wait() }()
		select {
		case e := <-gone:
			if clean {
				err = errors.Join(err, e)
			}
		case <-patience.C:
			err = errors.Join(err, fmt.Errorf("its output has ended, and itself not within %v", l.o.Exit))
		}
	case <-patience.C:
		err = errors.Join(err, fmt.Errorf("told to end, it has not within %v", l.o.Exit))
	}
	close(l.quit)
	l.plugin.Stdin.Close()
	l.plugin.Stdout.Close()
	l.work.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeErr = err
	return err
}
