package fake_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// TestSpotSessionGoesOn: AWS takes back the host of a session, which is suspended
// within the two minutes and goes on elsewhere with what it had in its home; one
// that asked to stay suspended stays so.
func TestSpotSessionGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.New(t, fake.Config{AWS: fakeaws.Config{Delays: fakeaws.Realistic()}})
		for id, then := range map[session.ID]session.InterruptionPolicy{"goes": session.ResumeElsewhere, "stays": session.StaySuspended} {
			if _, err := w.Sessions.Start(t.Context(), session.StartRequest{
				ID: id, User: "alice", InstanceType: "t3.large", Size: domain.Size{MilliCPU: 500, MemoryMiB: 1024}, Market: launcher.SpotOrOnDemand, OnInterruption: then,
			}); err != nil {
				t.Fatal(err)
			}
		}
		wait := func(id session.ID, state session.State) session.Session {
			t.Helper()
			s, err := w.Sessions.Wait(t.Context(), id, state)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		before, other := wait("goes", session.Running), wait("stays", session.Running)
		if before.Market != launcher.Spot || before.Host != other.Host {
			t.Fatalf("they run on %s (%q) and %s", before.Host, before.Market, other.Host)
		}
		call(t, w, "goes", http.MethodPut, "kept")
		noticed := time.Now()
		if err := w.Cloud.Interrupt(before.Host); err != nil {
			t.Fatal(err)
		}
		suspended := wait("stays", session.Suspended)
		if took := time.Since(noticed); took > 2*time.Minute {
			t.Errorf("it was suspended after %v", took)
		}
		if suspended.Reason != launcher.ErrInterrupted {
			t.Errorf("it is suspended for %q: %s", suspended.Reason, suspended.Message)
		}
		var after session.Session
		for after = before; after.Host == before.Host || after.State != session.Running; time.Sleep(time.Second) {
			var err error
			if after, err = w.Sessions.Get(t.Context(), "goes"); err != nil || time.Since(noticed) > 10*time.Minute {
				t.Fatalf("it is %+v, %v", after, err)
			}
		}
		if took := time.Since(noticed); took > 4*time.Minute {
			t.Errorf("it went on after %v", took)
		}
		if got := call(t, w, "goes", http.MethodGet, ""); got != "kept" {
			t.Errorf("it reads %q", got)
		}
		time.Sleep(10 * time.Minute)
		wait("stays", session.Suspended)
	})
}

// call reads or writes a file in the home of a session's user.
func call(t *testing.T, w *fake.World, id session.ID, method, body string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return w.Sessions.Dial(ctx, id, "http")
	}}}
	var answer string
	for range 10 { // its port answers a moment after it runs
		request, err := http.NewRequestWithContext(t.Context(), method, "http://session/files/home/alice/note", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			text, readErr := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if readErr == nil && response.StatusCode < 300 {
				return string(text)
			}
			answer = response.Status + " " + string(text)
		} else {
			answer = err.Error()
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("%s of %s: %s", method, id, answer)
	return ""
}
