package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// An Activity is how a program tells when it was last used, by the answer to an
// HTTP GET. The zero value is a program that does not tell.
type Activity struct {
	// Port is the name of one of the Kind's Ports.
	Port string `json:",omitempty"`
	// Path begins with a slash. It may have a query, for a token that the
	// program asks for; that is stored with the session and is not secret.
	Path string `json:",omitempty"`
	// Format is how the answer is to be read.
	Format ActivityFormat `json:",omitempty"`
}

// An ActivityFormat is how a program words when it was last used.
type ActivityFormat string

const (
	// JupyterStatus is Jupyter Server's. Path ends with /api/status, whose
	// last_activity is the latest of API requests, terminals and kernels. The
	// kernels beside it, /api/kernels, tell which compute now, and are asked
	// for so that this does not count as use. Both are in its REST API
	// (jupyter_server/services/api/api.yaml) but for no_track_activity, which is
	// in its source alone (APIHandler.update_api_activity).
	JupyterStatus ActivityFormat = "jupyter-status"
	// CodeServerHealth is code-server's /healthz (its FAQ, "Healthz endpoint").
	// A heartbeat is a request other than this one, or an open connection, such
	// as a browser's tab keeps; it beats at most once a minute, so the use it
	// tells of may be later by as much. What runs in a terminal is no heartbeat.
	CodeServerHealth ActivityFormat = "code-server-healthz"
	// PositronIdle is Positron Server's /idle (remoteExtensionHostAgentServer.ts
	// of posit-dev/positron): when somebody last used keys or mouse, by the
	// browser's clock, or when the server began. A kernel that computes is not
	// told of.
	PositronIdle ActivityFormat = "positron-idle"
)

func activityFormats() []ActivityFormat {
	return []ActivityFormat{JupyterStatus, CodeServerHealth, PositronIdle}
}

// jupyterStatusPath is how the path of a JupyterStatus ends.
const jupyterStatusPath = "/api/status"

func (a Activity) problems(ports []launcher.Port) []error {
	if a == (Activity{}) {
		return nil
	}
	found := endpointProblems("activity", a.Port, a.Path, ports)
	if !slices.Contains(activityFormats(), a.Format) {
		found = append(found, fmt.Errorf("activity: format %.40q is unknown: want one of %q", a.Format, activityFormats()))
	}
	path, _, _ := strings.Cut(a.Path, "?")
	if a.Format == JupyterStatus && !strings.HasSuffix(path, jupyterStatusPath) {
		found = append(found, fmt.Errorf("activity: path %.40q: want one that ends with %s for the format %s", a.Path, jupyterStatusPath, a.Format))
	}
	return found
}

// errSilent says that a kind of program does not tell when it was used.
var errSilent = errors.New("this kind of program does not tell when it was used")

// activity asks a program when it was last used. A zero last is never since it
// began; none is later than now. It is busy if it says that it computes now,
// whoever uses it; most cannot say that. The detail is for people. A kind that
// does not tell is errSilent, and any other error says that it is not known. It
// takes at most askLimit, and dial has to heed its context.
func (k Kind) activity(ctx context.Context, dial dialer) (last time.Time, busy bool, detail string, err error) {
	a := k.Activity
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	switch a.Format {
	case JupyterStatus:
		last, busy, detail, err = a.jupyter(ctx, dial)
	case CodeServerHealth:
		last, detail, err = a.single(ctx, dial, parseCodeServerHealth)
	case PositronIdle:
		last, detail, err = a.single(ctx, dial, parsePositronIdle)
	default:
		err = errSilent
	}
	if err != nil {
		return time.Time{}, false, "", err
	}
	if now := time.Now(); last.After(now) { // a clock that is fast, or a lie
		last = now
	}
	return last, busy, detail, nil
}

// single asks a program that tells all in one answer.
func (a Activity) single(ctx context.Context, dial dialer, parse func([]byte) (time.Time, string, error)) (time.Time, string, error) {
	body, err := a.get(ctx, dial, a.Path)
	if err != nil {
		return time.Time{}, "", err
	}
	last, detail, err := parse(body)
	return last, detail, a.unread(a.Path, err)
}

func (a Activity) jupyter(ctx context.Context, dial dialer) (last time.Time, busy bool, detail string, err error) {
	body, err := a.get(ctx, dial, a.Path)
	if err != nil {
		return time.Time{}, false, "", err
	}
	last, connections, err := parseJupyterStatus(body)
	if err != nil {
		return time.Time{}, false, "", a.unread(a.Path, err)
	}
	path := a.kernelsPath()
	if body, err = a.get(ctx, dial, path); err != nil {
		return time.Time{}, false, "", err
	}
	kernels, computing, err := parseJupyterKernels(body)
	if err != nil {
		return time.Time{}, false, "", a.unread(path, err)
	}
	return last, computing > 0, fmt.Sprintf("%d kernels, %d of them computing, %d connections to them", kernels, computing, connections), nil
}

// kernelsPath is where a Jupyter Server lists its kernels. That it is asked
// would count as use without no_track_activity.
func (a Activity) kernelsPath() string {
	path, query, _ := strings.Cut(a.Path, "?")
	path = strings.TrimSuffix(path, jupyterStatusPath) + "/api/kernels?no_track_activity=1"
	if query != "" {
		path += "&" + query
	}
	return path
}

// get returns the body of an answer that is 200.
func (a Activity) get(ctx context.Context, dial dialer, path string) ([]byte, error) {
	status, body, err := ask(ctx, dial, a.Port, path)
	shown := withoutQuery(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("when it was used is not known: GET %s: %w", shown, err)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return nil, fmt.Errorf("when it was used is not known: it answers %s to GET %s; "+
			"serve it without a token, or put the token into the path of its kind's Activity", statusText(status), shown)
	case status != http.StatusOK:
		return nil, fmt.Errorf("when it was used is not known: it answers %s to GET %s", statusText(status), shown)
	}
	return body, nil
}

func (a Activity) unread(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("when it was used is not known: its answer to GET %s is not %s: %w", withoutQuery(path), a.Format, err)
}

// withoutQuery is a path as it may be shown: there may be a token in the query.
func withoutQuery(path string) string {
	path, _, _ = strings.Cut(path, "?")
	if u, err := url.PathUnescape(path); err == nil && plain(u) {
		return u
	}
	return path
}

// parseJupyterStatus reads the answer to /api/status:
//
//	{"connections": 1, "kernels": 1, "last_activity": "2026-07-29T10:00:00.000000Z", "started": ...}
func parseJupyterStatus(body []byte) (last time.Time, connections int, err error) {
	var answer struct {
		LastActivity time.Time `json:"last_activity"`
		Connections  int       `json:"connections"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return time.Time{}, 0, err
	}
	if answer.LastActivity.IsZero() {
		return time.Time{}, 0, errors.New("it has no last_activity")
	}
	return answer.LastActivity, max(answer.Connections, 0), nil
}

// parseJupyterKernels reads the answer to /api/kernels:
//
//	[{"id": "...", "name": "python3", "execution_state": "busy", "connections": 1, "last_activity": ...}]
//
// A kernel's state is "unknown", "starting", "idle", "busy" and others since.
func parseJupyterKernels(body []byte) (kernels, computing int, err error) {
	var answer []struct {
		ExecutionState string `json:"execution_state"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, 0, err
	}
	if answer == nil {
		return 0, 0, errors.New("it is no list")
	}
	for _, kernel := range answer {
		if kernel.ExecutionState == "busy" {
			computing++
		}
	}
	return len(answer), computing, nil
}

// parseCodeServerHealth reads the answer to /healthz, whose time is in
// milliseconds since 1970, or 0 before the first beat:
//
//	{"status": "alive", "lastHeartbeat": 1599166210566}
func parseCodeServerHealth(body []byte) (last time.Time, detail string, err error) {
	var answer struct {
		Status        string `json:"status"`
		LastHeartbeat *int64 `json:"lastHeartbeat"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return time.Time{}, "", err
	}
	switch {
	case answer.LastHeartbeat == nil || *answer.LastHeartbeat < 0:
		return time.Time{}, "", errors.New("it has no lastHeartbeat")
	case answer.Status != "alive" && answer.Status != "expired":
		return time.Time{}, "", fmt.Errorf("its status is %.20q", answer.Status)
	case *answer.LastHeartbeat == 0:
		return time.Time{}, "nobody has used it yet", nil
	}
	return time.UnixMilli(*answer.LastHeartbeat), "its heart is " + answer.Status, nil
}

// parsePositronIdle reads the answer to /idle, whose time is in milliseconds
// since 1970:
//
//	{"seconds_idle": 12, "last_activity_epoch_ms": 1785312000000, "connections": 1}
func parsePositronIdle(body []byte) (last time.Time, detail string, err error) {
	var answer struct {
		LastActivity *int64 `json:"last_activity_epoch_ms"`
		Connections  int    `json:"connections"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return time.Time{}, "", err
	}
	if answer.LastActivity == nil || *answer.LastActivity <= 0 {
		return time.Time{}, "", errors.New("it has no last_activity_epoch_ms")
	}
	return time.UnixMilli(*answer.LastActivity), fmt.Sprintf("%d connections", max(answer.Connections, 0)), nil
}
