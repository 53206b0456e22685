package wire

import "fmt"

// A ResponseType says what a response is.
type ResponseType int

// The types of responses.
const (
	ErrorResponse        ResponseType = -1
	HeartbeatResponse    ResponseType = 0
	BootstrapResponse    ResponseType = 1
	JobStateResponse     ResponseType = 2
	JobStatusResponse    ResponseType = 3
	ControlJobResponse   ResponseType = 4
	JobOutputResponse    ResponseType = 5
	ResourceUtilResponse ResponseType = 6
	JobNetworkResponse   ResponseType = 7
	ClusterInfoResponse  ResponseType = 8
	SetNodesResponse     ResponseType = 201
	ConfigReloadResponse ResponseType = 202
	MetricsResponse      ResponseType = 203
)

// A Header begins every response.
type Header struct {
	Type ResponseType `json:"messageType"`
	// RequestID is the request's that is answered. It is 0 in heartbeats, metrics and
	// what names its requests by Sequences.
	RequestID uint64 `json:"requestId"`
	// ResponseID counts responses from 0. It is 0 in heartbeats and metrics.
	ResponseID uint64 `json:"responseId"`
}

// Head returns h itself, for who numbers responses.
func (h *Header) Head() *Header { return h }

// An ErrorCode says what went wrong.
type ErrorCode int

// The error codes.
const (
	Unknown             ErrorCode = 0
	RequestNotSupported ErrorCode = 1
	InvalidRequest      ErrorCode = 2
	JobNotFound         ErrorCode = 3
	PluginRestarted     ErrorCode = 4
	Timeout             ErrorCode = 5
	JobNotRunning       ErrorCode = 6
	JobOutputNotFound   ErrorCode = 7
	InvalidJobState     ErrorCode = 8
	JobControlFailure   ErrorCode = 9
	UnsupportedVersion  ErrorCode = 10
)

// An Error is the response to a request that failed. It ends the stream of its
// request, if that had opened one.
type Error struct {
	Header
	Code    ErrorCode `json:"errorCode"`
	Message string    `json:"errorMessage"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (code %d)", e.Message, e.Code) }

// Errorf returns an Error to answer with.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Header: Header{Type: ErrorResponse}, Code: code, Message: fmt.Sprintf(format, args...)}
}

// A Bootstrap answers a BootstrapRequest.
type Bootstrap struct {
	Header
	Version Version `json:"version"`
}

// A JobState tells of jobs.
type JobState struct {
	Header
	Jobs []Job `json:"jobs"`
}

// A Sequence is the place of a message in the stream that a request has opened,
// counted from 1.
type Sequence struct {
	RequestID  uint64 `json:"requestId"`
	SequenceID uint64 `json:"seqId"`
}

// A JobStatus is the status of a job, for all streams that it is told to.
type JobStatus struct {
	Header
	Sequences     []Sequence `json:"sequences"`
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	Status        Status     `json:"status"`
	StatusCode    string     `json:"statusCode,omitempty"`
	StatusMessage string     `json:"statusMessage,omitempty"`
}

// A ControlJob answers a ControlJobRequest.
type ControlJob struct {
	Header
	StatusMessage string `json:"statusMessage"`
	// OperationComplete is whether the job is already as it was asked to be.
	OperationComplete bool `json:"operationComplete"`
}

// A JobOutput is a piece of what a job has written.
type JobOutput struct {
	Header
	SequenceID uint64     `json:"seqId"`
	Output     string     `json:"output"`
	OutputType OutputType `json:"outputType"`
	// Complete is whether nothing follows.
	Complete bool `json:"complete"`
}

// A ResourceUtil is what a job uses.
type ResourceUtil struct {
	Header
	Sequences []Sequence `json:"sequences"`
	// CPUPercent is of one core: two busy ones are 200. CPUTime is in seconds, memory
	// in MB.
	CPUPercent     float64 `json:"cpuPercent"`
	CPUTime        float64 `json:"cpuTime"`
	VirtualMemory  float64 `json:"virtualMemory"`
	ResidentMemory float64 `json:"residentMemory"`
	// Complete is whether nothing follows.
	Complete bool `json:"complete"`
}

// A JobNetwork says where a job's ports are.
type JobNetwork struct {
	Header
	Host        string   `json:"host"`
	IPAddresses []string `json:"ipAddresses"`
}

// A ClusterInfo says what jobs may have.
type ClusterInfo struct {
	Header
	SupportsContainers       bool         `json:"supportsContainers"`
	SupportsInitContainers   bool         `json:"supportsInitContainers"`
	Config                   []Setting    `json:"config"`
	PlacementConstraints     []Constraint `json:"placementConstraints"`
	Queues                   []string     `json:"queues,omitempty"`
	DefaultQueue             string       `json:"defaultQueue,omitempty"`
	ResourceLimits           []Limit      `json:"resourceLimits"`
	Images                   []string     `json:"images,omitempty"`
	DefaultImage             string       `json:"defaultImage,omitempty"`
	AllowUnknownImages       bool         `json:"allowUnknownImages"`
	ResourceProfiles         []Profile    `json:"resourceProfiles"`
	ContainersUseHostNetwork bool         `json:"containersUseHostNetwork"`
}

// A ReloadError says why a configuration could not be read again.
type ReloadError int

// The reasons.
const (
	ReloadUnknown  ReloadError = -1
	Reloaded       ReloadError = 0
	ReloadLoad     ReloadError = 1
	ReloadValidate ReloadError = 2
	ReloadSave     ReloadError = 3
)

// A ConfigReload answers a ConfigReloadRequest.
type ConfigReload struct {
	Header
	ErrorType    ReloadError `json:"errorType"`
	ErrorMessage string      `json:"errorMessage"`
}

// LatencyBounds are the upper bounds, in seconds, of the buckets of a [Histogram],
// which the Launcher knows by heart: ClusterInteractionLatencyBuckets of
// posit-dev/launcher-go-sdk.
var LatencyBounds = [...]float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10, 30}

// A Histogram is how often something took how long since the last one was sent. What
// took longer than the last bound is in Sum alone.
type Histogram struct {
	Buckets [len(LatencyBounds)]float64 `json:"buckets"`
	Sum     float64                     `json:"sum"`
}

// Metrics is what a plugin tells of itself now and then, unasked.
type Metrics struct {
	Header
	UptimeSeconds uint64 `json:"uptimeSeconds"`
	// MemoryUsageBytes is zero if it is not known.
	MemoryUsageBytes uint64     `json:"memoryUsageBytes"`
	Latency          *Histogram `json:"clusterInteractionLatencySample,omitempty"`
}
