package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A RequestType says what a request asks for.
type RequestType int

// The types of requests. Those of responses differ by one from SubmitJob on.
const (
	HeartbeatRequest    RequestType = 0
	BootstrapRequest    RequestType = 1
	SubmitJobRequest    RequestType = 2
	JobStateRequest     RequestType = 3
	JobStatusRequest    RequestType = 4 // a stream
	ControlJobRequest   RequestType = 5
	JobOutputRequest    RequestType = 6 // a stream
	ResourceUtilRequest RequestType = 7 // a stream
	JobNetworkRequest   RequestType = 8
	ClusterInfoRequest  RequestType = 9
	SetNodesRequest     RequestType = 201
	ConfigReloadRequest RequestType = 202
)

// All stands for every job in the place of a job's ID, and for every user in the place
// of a username.
const All = "*"

// An Operation is what is to be done to a job.
type Operation int

// The operations, with the signal that each stands for.
const (
	Suspend Operation = 0 // SIGSTOP
	Resume  Operation = 1 // SIGCONT
	Stop    Operation = 2 // SIGTERM
	Kill    Operation = 3 // SIGKILL
	Cancel  Operation = 4 // of a job that is pending
)

func (o Operation) String() string {
	switch o {
	case Suspend:
		return "suspend"
	case Resume:
		return "resume"
	case Stop:
		return "stop"
	case Kill:
		return "kill"
	case Cancel:
		return "cancel"
	}
	return fmt.Sprintf("operation %d", int(o))
}

// A Version is one of the plugin API.
type Version struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
	Patch int `json:"patch"`
}

// API is the version of the plugin API that this package speaks. Two sides whose
// major versions are equal understand each other.
var API = Version{Major: 3, Minor: 7, Patch: 0}

// A Request is any message of the Launcher. Which fields have a meaning depends on
// Type; the others are zero.
type Request struct {
	Type RequestType `json:"-"`
	// ID names the request, and the stream that it opens, for as long as that lasts.
	ID uint64 `json:"-"`

	// Version is of a BootstrapRequest.
	Version Version `json:"version"`
	// Username is in whose name the request is made, or All for an administrator.
	// RequestUsername is who asked the Launcher.
	Username        string `json:"username"`
	RequestUsername string `json:"requestUsername"`
	// Job is that of a SubmitJobRequest.
	Job *Job `json:"job"`
	// JobID is a job, or All.
	JobID string `json:"jobId"`
	// Tags, StartTime, EndTime and Statuses select jobs, Fields what is told of them.
	Tags      []string `json:"tags"`
	StartTime *Time    `json:"startTime"`
	EndTime   *Time    `json:"endTime"`
	Statuses  []Status `json:"statuses"`
	Fields    []string `json:"fields"`
	// Operation is that of a ControlJobRequest.
	Operation Operation `json:"operation"`
	// OutputType is that of a JobOutputRequest.
	OutputType OutputType `json:"outputType"`
	// Cancel ends the stream that a request with the same ID and Type has opened.
	Cancel bool `json:"cancel"`
	// Nodes are those of a SetNodesRequest.
	Nodes []Node `json:"nodes"`
}

// A Node is one of several machines on which the Launcher runs.
type Node struct {
	Host     string `json:"host"`
	IPv4     string `json:"ipv4"`
	Port     Text   `json:"port"`
	LastSeen *Time  `json:"lastSeen"`
	Status   string `json:"status"` // "Online"
}

// maxValues is how many values the JSON of a request may have, of whatever kind:
// a value of two bytes may take seven hundred while it is decoded, and all of them
// should take less than [DefaultLimit].
const maxValues = 6_000

// A DecodeError says why a frame is no request. Type and ID are of the request as far
// as it could be read; Known is whether both could.
type DecodeError struct {
	Type  RequestType
	ID    uint64
	Known bool
	Err   error
}

func (e *DecodeError) Error() string { return "wire: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }

// Decode makes a request of the JSON of a frame, of which it keeps nothing. Whether
// its type is one that there is, it does not say. Every error is a [*DecodeError]; one
// that is Known can be answered.
func Decode(frame []byte) (Request, error) {
	bad := &DecodeError{}
	// These two come first and by themselves: wherever they stand, who asks for what is
	// not understood gets an answer.
	var head struct {
		Type *RequestType `json:"messageType"`
		ID   *uint64      `json:"requestId"`
	}
	err := json.Unmarshal(frame, &head)
	bad.Known = err == nil && head.Type != nil && head.ID != nil
	if head.Type != nil {
		bad.Type = *head.Type
	}
	if head.ID != nil {
		bad.ID = *head.ID
	}
	var q Request
	switch n := values(frame); {
	case err != nil:
	case n > maxValues:
		bad.Err = fmt.Errorf("a request of %d values, at most %d", n, maxValues)
		return Request{}, bad
	case !bad.Known:
		bad.Err = errors.New("a request needs messageType and requestId")
		return Request{}, bad
	default:
		err = json.Unmarshal(frame, &q)
	}
	if err != nil {
		bad.Err = fmt.Errorf("a request that is not understood: %s", blame(err))
		return Request{}, bad
	}
	if q.Job != nil && string(q.Job.Metadata) == "null" {
		q.Job.Metadata = nil
	}
	q.Type, q.ID = bad.Type, bad.ID
	return q, nil
}

// blame is what is wrong with JSON, without a word of its content, which may be
// secret.
func blame(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("field %s: want %s, not %s", e.Field, e.Type, strings.SplitN(e.Value, " ", 2)[0])
	}
	return err.Error()
}

// values counts the values in JSON, or what would be if it is none, but for a few.
func values(text []byte) int {
	n, quoted := 1, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			n++
		}
	}
	return n
}

// An OutputType is which of a job's output streams is meant.
type OutputType int

// The output types, as numbers in requests and as "stdout", "stderr" and "mixed" in
// responses. A request without one means both.
const (
	Both OutputType = iota
	Stdout
	Stderr
)

func (o OutputType) String() string { return [...]string{"mixed", "stdout", "stderr"}[o] }

// UnmarshalJSON takes 0, 1 or 2 for stdout, stderr or both, the first two by name,
// and "mixed" and "both".
func (o *OutputType) UnmarshalJSON(data []byte) error {
	var text Text
	if err := text.UnmarshalJSON(data); err != nil {
		return err
	}
	switch strings.ToLower(string(text)) {
	case "0", "stdout":
		*o = Stdout
	case "1", "stderr":
		*o = Stderr
	case "2", "mixed", "both", "":
		*o = Both
	default:
		return fmt.Errorf("outputType %.20q: want 0, 1 or 2, stdout, stderr or mixed", string(text))
	}
	return nil
}

// MarshalText writes "stdout", "stderr" or "mixed".
func (o OutputType) MarshalText() ([]byte, error) { return []byte(o.String()), nil }
