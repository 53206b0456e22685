package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
)

// A Status is how far a job has come.
type Status string

// The statuses of a job. The last four are final.
const (
	// Pending: submitted, and not running yet.
	Pending Status = "Pending"
	// Running: its process runs, and its ports are reachable.
	Running Status = "Running"
	// Suspended: it was running, and may be resumed.
	Suspended Status = "Suspended"
	// Finished: its process has ended, with whatever exit code.
	Finished Status = "Finished"
	// Failed: it could not be launched.
	Failed Status = "Failed"
	// Killed: its process was ended by force.
	Killed Status = "Killed"
	// Canceled: it was withdrawn before it ran.
	Canceled Status = "Canceled"
)

// Final reports whether a job in s stays in it.
func (s Status) Final() bool {
	return slices.Contains([]Status{Finished, Failed, Killed, Canceled}, s)
}

// CustomProfile is the resource profile of a job that gives limits of its own.
const CustomProfile = "custom"

// A Job is a job as the Launcher knows it. Every field but ID may be absent.
type Job struct {
	ID                   string          `json:"id"`
	Cluster              string          `json:"cluster,omitempty"`
	Name                 string          `json:"name,omitempty"`
	User                 string          `json:"user,omitempty"`
	Group                string          `json:"group,omitempty"`
	Queues               []string        `json:"queues,omitempty"`
	WorkingDirectory     string          `json:"workingDirectory,omitempty"`
	Container            *Container      `json:"container,omitempty"`
	InitContainers       []InitContainer `json:"initContainers,omitempty"`
	Host                 string          `json:"host,omitempty"`
	Status               Status          `json:"status,omitempty"`
	StatusMessage        string          `json:"statusMessage,omitempty"`
	StatusCode           string          `json:"statusCode,omitempty"`
	PID                  *int            `json:"pid,omitempty"`
	ExitCode             *int            `json:"exitCode,omitempty"`
	Command              string          `json:"command,omitempty"`
	Exe                  string          `json:"exe,omitempty"`
	StdoutFile           string          `json:"stdoutFile,omitempty"`
	StderrFile           string          `json:"stderrFile,omitempty"`
	Stdin                string          `json:"stdin,omitempty"`
	Args                 []string        `json:"args,omitempty"`
	Environment          []Env           `json:"environment,omitempty"`
	PlacementConstraints []Constraint    `json:"placementConstraints,omitempty"`
	LastUpdateTime       *Time           `json:"lastUpdateTime,omitempty"`
	SubmissionTime       *Time           `json:"submissionTime,omitempty"`
	ExposedPorts         []Port          `json:"exposedPorts,omitempty"`
	Mounts               []Mount         `json:"mounts,omitempty"`
	Config               []Setting       `json:"config,omitempty"`
	ResourceLimits       []Limit         `json:"resourceLimits,omitempty"`
	Tags                 []string        `json:"tags,omitempty"`
	Metadata             json.RawMessage `json:"metadata,omitempty"`
	ResourceProfile      string          `json:"resourceProfile,omitempty"`
	// InstanceID is the Launcher's own; a plugin returns it as it was.
	InstanceID string `json:"instanceId,omitempty"`
}

// jobFields are the fields of a Job by their names in requests.
var jobFields = func() map[string]int {
	fields := map[string]int{}
	for i, f := range reflect.VisibleFields(reflect.TypeFor[Job]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = i
	}
	fields["env"] = fields["environment"] // as the Go SDK calls it
	return fields
}()

// Only returns the job with the named fields and its ID, and without the others. No
// name selects all; names that there are not are skipped.
func (j Job) Only(names []string) Job {
	if len(names) == 0 {
		return j
	}
	kept := Job{ID: j.ID}
	from, to := reflect.ValueOf(j), reflect.ValueOf(&kept).Elem()
	for _, name := range names {
		if i, ok := jobFields[name]; ok {
			to.Field(i).Set(from.Field(i))
		}
	}
	return kept
}

// A Container is the image that a job runs in, and as whom.
type Container struct {
	Image                string   `json:"image"`
	RunAsUserID          *int     `json:"runAsUserId,omitempty"`
	RunAsGroupID         *int     `json:"runAsGroupId,omitempty"`
	SupplementalGroupIDs []int    `json:"supplementalGroupIds,omitempty"`
	CapabilitiesAdd      []string `json:"capabilitiesAdd,omitempty"`
	CapabilitiesDrop     []string `json:"capabilitiesDrop,omitempty"`
}

// An InitContainer runs to its end before a job's own.
type InitContainer struct {
	Name        string   `json:"name"`
	Image       string   `json:"image"`
	Command     string   `json:"command,omitempty"`
	Exe         string   `json:"exe,omitempty"`
	Args        []string `json:"args,omitempty"`
	Mounts      []Mount  `json:"mounts,omitempty"`
	Environment []Env    `json:"environment,omitempty"`
}

// An Env is an environment variable.
type Env struct {
	Name  string `json:"name"`
	Value Text   `json:"value"`
}

// A Constraint says where a job may run, or is one of those that a cluster knows.
type Constraint struct {
	Name         string `json:"name"`
	Value        Text   `json:"value,omitempty"`
	DefaultValue string `json:"defaultValue,omitempty"`
}

// A Port is a port of a job's container, and the one of its host that leads there.
type Port struct {
	TargetPort    int    `json:"targetPort"`
	PublishedPort *int   `json:"publishedPort,omitempty"`
	Protocol      string `json:"protocol"`
}

// A Setting is a value of a cluster's own configuration for jobs.
type Setting struct {
	Name      string `json:"name"`
	ValueType string `json:"valueType,omitempty"`
	Value     Text   `json:"value,omitempty"`
}

// The types of a [Limit] that every cluster knows. Memory is in MB.
const (
	CPUCount   = "cpuCount"
	CPUTime    = "cpuTime"
	Memory     = "memory"
	MemorySwap = "memorySwap"
	// NvidiaGPUs is a name of Posit's template for Kubernetes.
	NvidiaGPUs = "NVIDIA GPUs"
)

// A Limit is how much of something a job may have.
type Limit struct {
	Type         string `json:"type"`
	Value        Text   `json:"value,omitempty"`
	DefaultValue Text   `json:"defaultValue,omitempty"`
	MaxValue     Text   `json:"maxValue,omitempty"`
}

// UnmarshalJSON also takes the type from limitType, as the C++ SDK's guide has it.
func (l *Limit) UnmarshalJSON(data []byte) error {
	type plain Limit
	also := struct {
		*plain
		LimitType string `json:"limitType"`
	}{plain: (*plain)(l)}
	err := json.Unmarshal(data, &also)
	if l.Type == "" {
		l.Type = also.LimitType
	}
	return err
}

// A Profile is a named set of limits that a job may have.
type Profile struct {
	Name                 string       `json:"name"`
	DisplayName          string       `json:"displayName,omitempty"`
	Limits               []Limit      `json:"limits,omitempty"`
	Queue                string       `json:"queue,omitempty"`
	PlacementConstraints []Constraint `json:"placementConstraints,omitempty"`
}

// The kinds of a [MountSource] that are told apart.
const (
	HostMount = "host"
	NFSMount  = "nfs"
)

// A Mount is a directory that a job has beside its image.
type Mount struct {
	MountPath   string      `json:"mountPath"`
	Name        string      `json:"name,omitempty"`
	ReadOnly    bool        `json:"readOnly,omitempty"`
	MountSource MountSource `json:"mountSource"`
}

// A MountSource is where a mount comes from. What Source has depends on Type.
type MountSource struct {
	Type   string          `json:"type"`
	Source json.RawMessage `json:"source,omitempty"`
}

// UnmarshalJSON also takes type and source from beside mountPath, as the C++ SDK's
// guide draws it.
func (m *Mount) UnmarshalJSON(data []byte) error {
	type plain Mount
	also := struct {
		*plain
		Type   string          `json:"type"`
		Source json.RawMessage `json:"source"`
	}{plain: (*plain)(m)}
	err := json.Unmarshal(data, &also)
	if m.MountSource.Type == "" && m.MountSource.Source == nil {
		m.MountSource = MountSource{also.Type, also.Source}
	}
	if string(m.MountSource.Source) == "null" {
		m.MountSource.Source = nil
	}
	return err
}

// A Text is a text that may arrive as a number or a truth value.
type Text string

// UnmarshalJSON takes a text, a number or a truth value; null leaves t as it is.
func (t *Text) UnmarshalJSON(data []byte) error {
	switch {
	case len(data) > 0 && data[0] == '"':
		return json.Unmarshal(data, (*string)(t))
	case string(data) == "null":
		return nil
	case len(data) > 0 && (data[0] == '{' || data[0] == '['):
		return errors.New("want a text")
	}
	*t = Text(data)
	return nil
}
