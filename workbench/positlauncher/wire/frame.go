package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

const (
	// DefaultLimit is how many bytes of JSON a message has at most, either way, unless
	// the Launcher was told otherwise (max-message-size): 5 MiB.
	DefaultLimit = 5 << 20
	// lost is a length that no Launcher sends: what claims it is no frame.
	lost = 1 << 30
	// header is the length before each message.
	header = 4
	// firstRead is how much room a frame gets before its bytes arrive: its length is
	// only a claim.
	firstRead = 64 << 10
)

// ErrLost is returned by [Reader.Next] when what arrives are no frames: where the
// next one begins cannot be known.
var ErrLost = errors.New("wire: this is no message of the Launcher's: its length is out of all measure")

// A SizeError is a message that is larger than the limit.
type SizeError struct {
	// Size and Limit are in bytes, without the length before the message.
	Size, Limit int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("wire: a message of %d bytes, at most %d", e.Size, e.Limit)
}

// A Reader reads frames. It is for one goroutine.
type Reader struct {
	r     io.Reader
	limit int
	buf   []byte
}

// NewReader returns a Reader of frames of at most limit bytes; zero is
// [DefaultLimit].
func NewReader(r io.Reader, limit int) *Reader {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &Reader{r: r, limit: limit}
}

// Next returns the JSON of the next frame, which is the caller's until Next is called
// again. A frame beyond the limit is read to its end and is a [*SizeError], after
// which Next goes on with the one that follows. Every other error is the end: [io.EOF]
// between frames, [io.ErrUnexpectedEOF] within one, [ErrLost], or the reader's own.
//
// Memory is taken as bytes arrive, and never more than the limit.
func (r *Reader) Next() ([]byte, error) {
	var head [header]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	switch {
	case size >= lost:
		return nil, ErrLost
	case size > int64(r.limit):
		if _, err := io.CopyN(io.Discard, r.r, size); err != nil {
			return nil, unexpected(err)
		}
		return nil, &SizeError{Size: int(size), Limit: r.limit}
	}
	have := 0
	for have < int(size) {
		if have == len(r.buf) {
			r.grow(int(size))
		}
		n, err := io.ReadAtLeast(r.r, r.buf[have:min(len(r.buf), int(size))], 1)
		have += n
		if err != nil {
			return nil, unexpected(err)
		}
	}
	return r.buf[:size], nil
}

// grow makes room for more of a frame of so many bytes: fourfold, so that what is
// given up on the way to the limit is about as much as the limit.
func (r *Reader) grow(size int) {
	next := make([]byte, min(max(4*len(r.buf), firstRead), max(size, firstRead), r.limit))
	copy(next, r.buf)
	r.buf = next
}

// unexpected is an error within a frame.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Encode returns message, a response or a pointer to one, as a frame. It changes
// nothing of it. One whose JSON is larger than limit, zero for [DefaultLimit], is a
// [*SizeError].
func Encode(message any, limit int) ([]byte, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	text, err := json.Marshal(withoutNull(message))
	if err != nil {
		return nil, err
	}
	if len(text) > limit {
		return nil, &SizeError{Size: len(text), Limit: limit}
	}
	frame := make([]byte, header, header+len(text))
	binary.BigEndian.PutUint32(frame, uint32(len(text)))
	return append(frame, text...), nil
}

// withoutNull is message with empty lists for those that are nil and have to be there,
// which the Launcher does not take for null.
func withoutNull(message any) any {
	from := reflect.ValueOf(message)
	if from.Kind() == reflect.Pointer {
		from = from.Elem()
	}
	if from.Kind() != reflect.Struct {
		return message
	}
	whole := reflect.New(from.Type()).Elem()
	whole.Set(from)
	for i := range whole.NumField() {
		field, tag := whole.Field(i), whole.Type().Field(i).Tag.Get("json")
		if field.Kind() == reflect.Slice && field.IsNil() && !strings.HasSuffix(tag, ",omitempty") {
			field.Set(reflect.MakeSlice(field.Type(), 0, 0))
		}
	}
	return whole.Interface()
}
