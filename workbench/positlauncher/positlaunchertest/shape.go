package positlaunchertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A shape is what JSON has to look like; it tells what does not at a path.
type shape func(path string, v any, tell func(string))

// wants is a shape that one condition makes.
func wants(what string, ok func(v any) bool) shape {
	return func(path string, v any, tell func(string)) {
		if !ok(v) {
			text, _ := json.Marshal(v)
			tell(fmt.Sprintf("%s: want %s, not %.80s", path, what, text))
		}
	}
}

func isText(v any) bool { _, ok := v.(string); return ok }

func isWhole(v any) bool {
	n, ok := v.(json.Number)
	_, err := strconv.ParseInt(string(n), 10, 64)
	return ok && err == nil
}

func isMoment(v any) bool {
	s, _ := v.(string)
	_, err := time.Parse(time.RFC3339, s)
	return err == nil && strings.HasSuffix(s, "Z")
}

var (
	text     = wants("a text", isText)
	someText = wants("a text that is not empty", func(v any) bool { return isText(v) && v != "" })
	truth    = wants("true or false", func(v any) bool { _, ok := v.(bool); return ok })
	number   = wants("a number", func(v any) bool { _, ok := v.(json.Number); return ok })
	positive = wants("a number that is not negative", func(v any) bool {
		n, ok := v.(json.Number)
		return ok && !strings.HasPrefix(string(n), "-")
	})
	whole   = wants("a whole number", isWhole)
	count   = wants("a whole number that is not negative", func(v any) bool { return isWhole(v) && v.(json.Number)[0] != '-' })
	ordinal = wants("a whole number from 1", func(v any) bool { return isWhole(v) && v.(json.Number)[0] != '-' && v != json.Number("0") })
	moment  = wants("a time such as 2026-01-02T15:04:05Z", isMoment)
	anyMap  = wants("an object", func(v any) bool { _, ok := v.(map[string]any); return ok })
	status  = oneOf("Pending", "Running", "Suspended", "Finished", "Failed", "Killed", "Canceled")
)

func oneOf(texts ...string) shape {
	return wants("one of "+strings.Join(texts, ", "), func(v any) bool {
		s, ok := v.(string)
		return ok && slices.Contains(texts, s)
	})
}

func listOf(element shape) shape {
	return func(path string, v any, tell func(string)) {
		list, ok := v.([]any)
		if !ok {
			wants("a list", func(any) bool { return false })(path, v, tell)
		}
		for i, e := range list {
			element(fmt.Sprintf("%s[%d]", path, i), e, tell)
		}
	}
}

// atLeastOne is a list that is not empty.
func atLeastOne(element shape) shape {
	return func(path string, v any, tell func(string)) {
		if list, ok := v.([]any); ok && len(list) == 0 {
			tell(path + ": want a list that is not empty")
		}
		listOf(element)(path, v, tell)
	}
}

// fields are shapes by name; one that ends in "?" may be absent.
type fields map[string]shape

// object is an object with those fields, and perhaps others, which newer versions may
// have.
func object(f fields) shape {
	return func(path string, v any, tell func(string)) {
		m, ok := v.(map[string]any)
		if !ok {
			anyMap(path, v, tell)
			return
		}
		for name, s := range f {
			name, optional := strings.CutSuffix(name, "?")
			below := strings.TrimPrefix(path+"."+name, ".")
			switch value, there := m[name]; {
			case there:
				s(below, value, tell)
			case !optional:
				tell(below + " is missing")
			}
		}
	}
}

// with is f and more.
func (f fields) with(more fields) fields {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

var (
	base     = fields{"messageType": whole, "requestId": count, "responseId": count}
	sequence = object(fields{"requestId": count, "seqId": ordinal})

	env        = object(fields{"name": someText, "value": text})
	constraint = object(fields{"name": someText, "value?": text, "defaultValue?": text})
	limit      = object(fields{"type": someText, "value?": text, "defaultValue?": text, "maxValue?": text})
	setting    = object(fields{"name": someText, "valueType?": text, "value?": text})
	mount      = object(fields{"mountPath": someText, "name?": text, "readOnly?": truth, "mountSource": object(fields{"type": text, "source?": anyMap})})
	profile    = object(fields{"name": someText, "displayName?": text, "limits?": listOf(limit), "queue?": text, "placementConstraints?": listOf(constraint)})

	job = object(fields{
		"id": someText, "cluster?": text, "name?": text, "user?": text, "group?": text, "queues?": listOf(text), "workingDirectory?": text,
		"container?": object(fields{
			"image": text, "runAsUserId?": count, "runAsGroupId?": count, "supplementalGroupIds?": listOf(count),
			"capabilitiesAdd?": listOf(text), "capabilitiesDrop?": listOf(text),
		}),
		"initContainers?": listOf(object(fields{
			"name": text, "image": text, "command?": text, "exe?": text, "args?": listOf(text), "mounts?": listOf(mount), "environment?": listOf(env),
		})),
		"host?": text, "status?": status, "statusMessage?": text, "statusCode?": text, "pid?": whole, "exitCode?": whole, "command?": text, "exe?": text,
		"stdoutFile?": text, "stderrFile?": text, "stdin?": text, "args?": listOf(text), "environment?": listOf(env),
		"placementConstraints?": listOf(constraint), "lastUpdateTime?": moment, "submissionTime?": moment,
		"exposedPorts?": listOf(object(fields{"targetPort": count, "publishedPort?": count, "protocol": text})),
		"mounts?":       listOf(mount), "config?": listOf(setting), "resourceLimits?": listOf(limit), "tags?": listOf(text), "metadata?": anyMap,
		"resourceProfile?": text, "instanceId?": text,
	})
)

// shapes are those of messages, by their types.
var shapes = map[wire.ResponseType]shape{
	wire.ErrorResponse:     object(base.with(fields{"errorCode": count, "errorMessage": someText})),
	wire.HeartbeatResponse: object(base),
	wire.BootstrapResponse: object(base.with(fields{"version": object(fields{"major": count, "minor": count, "patch": count})})),
	wire.JobStateResponse:  object(base.with(fields{"jobs": listOf(job)})),
	wire.JobStatusResponse: object(base.with(fields{
		"sequences": atLeastOne(sequence), "id": someText, "name": text, "status": status, "statusCode?": text, "statusMessage?": text,
	})),
	wire.ControlJobResponse: object(base.with(fields{"statusMessage": text, "operationComplete": truth})),
	wire.JobOutputResponse: object(base.with(fields{
		"seqId": ordinal, "output": text, "outputType": oneOf("stdout", "stderr", "mixed"), "complete": truth,
	})),
	// The Go SDK leaves out what is zero.
	wire.ResourceUtilResponse: object(base.with(fields{
		"sequences": atLeastOne(sequence), "cpuPercent?": positive, "cpuTime?": positive, "virtualMemory?": positive, "residentMemory?": positive, "complete": truth,
	})),
	wire.JobNetworkResponse: object(base.with(fields{"host": someText, "ipAddresses": atLeastOne(someText), "endpoints?": listOf(text)})),
	wire.ClusterInfoResponse: object(base.with(fields{
		"supportsContainers": truth, "supportsInitContainers": truth, "config": listOf(setting), "placementConstraints": listOf(constraint),
		"queues?": listOf(text), "defaultQueue?": text, "resourceLimits": listOf(limit), "images?": listOf(someText), "defaultImage?": text,
		"allowUnknownImages": truth, "resourceProfiles": listOf(profile), "containersUseHostNetwork": truth,
	})),
	wire.SetNodesResponse:     object(base),
	wire.ConfigReloadResponse: object(base.with(fields{"errorType": whole, "errorMessage": text})),
	wire.MetricsResponse: object(base.with(fields{
		"uptimeSeconds": count, "memoryUsageBytes": count,
		"clusterInteractionLatencySample?": object(fields{"buckets": atLeastOne(positive), "sum": number}),
	})),
}
