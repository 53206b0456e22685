package session

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestActivityAnswers(t *testing.T) {
	const kernels = `[{"execution_state":"busy"},{"execution_state":"idle"},{"execution_state":"starting"},{"id":"x"}]`
	at := time.Date(1999, 12, 31, 23, 0, 0, 0, time.UTC) // a bubble begins an hour later
	status := func(last string) string {
		return `{"last_activity":` + last + `,"connections":2,"kernels":4,"started":"x"}`
	}
	for name, c := range map[string]struct {
		kind   Kind
		first  string // the answer
		second string // that to /api/kernels
		last   time.Time
		busy   bool
		say    string // of the detail, or of the error
		bad    bool
	}{
		"jupyter":              {JupyterLab(), http200(status(`"1999-12-31T23:00:00.000000Z"`)), http200(kernels), at, true, "4 kernels, 1 of them computing, 2 connections", false},
		"jupyter with an hour": {JupyterLab(), http200(status(`"2000-01-01T00:00:00+01:00"`)), http200("[]"), at, false, "0 kernels", false},
		"jupyter fast":         {JupyterLab(), http200(status(`"2100-01-01T00:00:00Z"`)), http200("[]"), at.Add(time.Hour), false, "", false},
		"jupyter wanting":      {JupyterLab(), http200(`{}`), http200("[]"), time.Time{}, false, "no last_activity", true},
		"jupyter no time":      {JupyterLab(), http200(status(`"yesterday"`)), http200("[]"), time.Time{}, false, "GET /api/status is not jupyter-status", true},
		"jupyter number":       {JupyterLab(), http200(status(`5`)), http200("[]"), time.Time{}, false, "is not jupyter-status", true},
		"jupyter page":         {JupyterLab(), http200("<html>"), http200("[]"), time.Time{}, false, "is not jupyter-status", true},
		"jupyter two values":   {JupyterLab(), http200(status(`"1999-12-31T23:00:00Z"`) + "{}"), http200("[]"), time.Time{}, false, "is not jupyter-status", true},
		"jupyter no kernels":   {JupyterLab(), http200(status(`"1999-12-31T23:00:00Z"`)), http200("null"), time.Time{}, false, "GET /api/kernels is not", true},
		"jupyter odd kernels":  {JupyterLab(), http200(status(`"1999-12-31T23:00:00Z"`)), http200("{}"), time.Time{}, false, "GET /api/kernels is not", true},
		"jupyter half":         {JupyterLab(), http200(status(`"1999-12-31T23:00:00Z"`)), "HTTP/1.1 500 X\r\n\r\n", time.Time{}, false, "500 Internal Server Error to GET /api/kernels", true},
		"jupyter signed out":   {JupyterLab(), "HTTP/1.1 403 Forbidden\r\n\r\n", http200("[]"), time.Time{}, false, "without a token", true},
		"code-server":          {VSCode(), http200(`{"status":"alive","lastHeartbeat":946681200000}`), "", at, false, "its heart is alive", false},
		"code-server expired":  {VSCode(), http200(`{"status":"expired","lastHeartbeat":946681200000}`), "", at, false, "expired", false},
		"code-server unused":   {VSCode(), http200(`{"status":"expired","lastHeartbeat":0}`), "", time.Time{}, false, "nobody", false},
		"code-server fast":     {VSCode(), http200(`{"status":"alive","lastHeartbeat":9223372036854775807}`), "", at.Add(time.Hour), false, "", false},
		"code-server larger":   {VSCode(), http200(`{"status":"alive","lastHeartbeat":9223372036854775808}`), "", time.Time{}, false, "is not code-server-healthz", true},
		"code-server negative": {VSCode(), http200(`{"status":"alive","lastHeartbeat":-1}`), "", time.Time{}, false, "no lastHeartbeat", true},
		"code-server wanting":  {VSCode(), http200(`{"status":"alive"}`), "", time.Time{}, false, "no lastHeartbeat", true},
		"code-server other":    {VSCode(), http200(`{"status":"ok","lastHeartbeat":946681200000}`), "", time.Time{}, false, `status is "ok"`, true},
		"code-server elsewhere": {VSCode(), "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n" + `{"status":"alive","lastHeartbeat":946681200000}`, "", time.Time{}, false,
			"302 Found to GET /healthz", true},
		"code-server endless": {VSCode(), http200(`{"status":"` + strings.Repeat("a", maxAnswer)), "", time.Time{}, false, "more than", true},
		"positron":            {Positron(), http200(`{"seconds_idle":3600,"last_activity_epoch_ms":946681200000,"connections":1}`), "", at, false, "1 connections", false},
		"positron fast":       {Positron(), http200(`{"last_activity_epoch_ms":4102444800000}`), "", at.Add(time.Hour), false, "", false},
		"positron wanting":    {Positron(), http200(`{"seconds_idle":5}`), "", time.Time{}, false, "no last_activity_epoch_ms", true},
		"positron older":      {Positron(), "HTTP/1.1 404 Not Found\r\n\r\n", "", time.Time{}, false, "404 Not Found to GET /idle", true},
		"silent":              {RStudio(), http200(""), "", time.Time{}, false, "does not tell", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				dial := func(ctx context.Context, port string) (net.Conn, error) {
					calls++
					return answering(nil, []string{c.first, c.second}[calls-1])(ctx, port)
				}
				last, busy, detail, err := c.kind.activity(t.Context(), dial)
				if (err != nil) != c.bad {
					t.Fatalf("error %v", err)
				}
				said := detail
				if err != nil {
					said = err.Error()
				}
				if !last.Equal(c.last) || busy != c.busy || !strings.Contains(said, c.say) || err != nil && detail != "" {
					t.Errorf("last %v, busy %v: %q", last, busy, said)
				}
			})
		})
	}
}

// Jupyter's kernels are asked for beside the status, with the token, and so that
// this counts as no use.
func TestJupyterPaths(t *testing.T) {
	for path, want := range map[string]string{
		"/api/status":                       "/api/kernels?no_track_activity=1",
		"/api/status?token=abc":             "/api/kernels?no_track_activity=1&token=abc",
		"/sessions/a/api/status?token=a%26": "/sessions/a/api/kernels?no_track_activity=1&token=a%26",
	} {
		if got := (Activity{Path: path}).kernelsPath(); got != want {
			t.Errorf("beside %s is %s, want %s", path, got, want)
		}
	}
}

// Whatever a program answers is read without a panic, as one time or an error.
func FuzzActivityAnswers(f *testing.F) {
	for _, text := range []string{
		`{"last_activity":"2026-07-29T10:00:00.000000Z","connections":1,"kernels":1}`, `[{"execution_state":"busy"}]`, `{"status":"alive","lastHeartbeat":1599166210566}`,
		`{"seconds_idle":12,"last_activity_epoch_ms":1785312000000,"connections":1}`, `null`, `[]`, `{}`, `[[[[`, `{"lastHeartbeat":1e400}`, `"`, "\xff",
		`{"last_activity":"0001-01-01T00:00:00Z"}`, `{"LASTHEARTBEAT":5,"Status":"alive"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if last, connections, err := parseJupyterStatus(body); (err == nil) == last.IsZero() || connections < 0 {
			t.Errorf("status: %v, %d, %v", last, connections, err)
		}
		if kernels, computing, err := parseJupyterKernels(body); computing > kernels || kernels > len(body) || err != nil && kernels != 0 {
			t.Errorf("kernels: %d, %d, %v", kernels, computing, err)
		}
		if last, detail, err := parseCodeServerHealth(body); (err == nil) == (detail == "") || err != nil && !last.IsZero() {
			t.Errorf("health: %v, %q, %v", last, detail, err)
		}
		if last, detail, err := parsePositronIdle(body); (err == nil) == (detail == "") || (err == nil) == last.IsZero() {
			t.Errorf("idle: %v, %q, %v", last, detail, err)
		}
	})
}
