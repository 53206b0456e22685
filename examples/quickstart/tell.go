package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
)

// narrator prints lines with the time since the story began.
func narrator(out io.Writer) func(string, ...any) {
	begun := time.Now()
	return func(format string, args ...any) {
		elapsed := time.Since(begun).Round(100 * time.Millisecond)
		fmt.Fprintf(out, "%8s  %s\n", fmt.Sprintf("%d:%04.1f", int(elapsed.Minutes()), (elapsed%time.Minute).Seconds()), fmt.Sprintf(format, args...))
	}
}

// start starts a session and tells of it when it runs.
func (s *stage) start(ctx context.Context, q session.StartRequest) error {
	made, err := s.sessions.Start(ctx, q)
	if err != nil {
		return err
	}
	s.tell("   %s asks for %s on %s at %s an hour", made.User, made.ID, made.InstanceType, price(made))
	return s.running(ctx, made.ID)
}

// running waits until a session runs, and dials it.
func (s *stage) running(ctx context.Context, id session.ID) error {
	now, err := s.sessions.Wait(ctx, id, session.Running)
	if err != nil {
		return err
	}
	s.tell("   %s runs on host %s at %s", id, now.Host, now.Endpoints["http"])
	hello, err := s.get(ctx, id, "")
	for notYet(err) {
		if err = pause(ctx); err == nil {
			hello, err = s.get(ctx, id, "")
		}
	}
	if err != nil {
		return err
	}
	s.tell("   dialled, it answers %q", strings.TrimSpace(hello))
	return nil
}

// notYet tells that a session runs and does not listen yet. An engine's own
// proxy may have accepted the connection already, and then breaks it.
func notYet(err error) bool {
	return errors.Is(err, launcher.ErrUnavailable) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// picture shows which sessions are on which host.
func (s *stage) picture(ctx context.Context) error {
	on := map[string][]string{}
	for v, err := range s.sessions.List(ctx, session.Filter{}) {
		if err != nil {
			return err
		}
		on[v.Host] = append(on[v.Host], fmt.Sprintf("%s (%s)", v.ID, v.User))
	}
	if s.at.engine {
		s.tell("   on this machine: %s", strings.Join(slices.Concat(slices.Collect(maps.Values(on))...), ", "))
		return nil
	}
	for h, err := range s.hosts.fleet.Hosts(ctx) {
		if err != nil {
			return err
		}
		s.tell("   host %s, %s in %s: %s", h.ID, h.InstanceType, h.Zone, strings.Join(on[h.ID], ", "))
	}
	return nil
}

// untilGone waits until no host of a type is left.
func (s *stage) untilGone(ctx context.Context, instanceType string) error {
	for {
		left := false
		for h, err := range s.hosts.fleet.Hosts(ctx) {
			if err != nil {
				return err
			}
			left = left || h.InstanceType == instanceType && h.State != ec2launcher.HostGone
		}
		if !left {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// left tells what is there when all is over, and what was paid at list prices.
func (s *stage) left(ctx context.Context) error {
	if err := s.kept(ctx); err != nil {
		return err
	}
	var total instancetype.Money
	for h, err := range s.hosts.fleet.Hosts(ctx) {
		if err != nil {
			return err
		}
		total += h.Cost(time.Now())
		s.tell("   host %s, %s: %s after %v, %v", h.ID, h.InstanceType, h.State, h.GoneAt.Sub(h.BoughtAt).Round(time.Second), h.Cost(time.Now()))
	}
	s.tell("   all hosts together: %v", total)
	return nil
}

// kept tells of the homes and of the sessions' records.
func (s *stage) kept(ctx context.Context) error {
	for u, err := range s.research.Users(ctx) {
		if err != nil {
			return err
		}
		s.tell("   home of %s: %s on %s", u.Name, u.Home.Path, u.Home.FileSystem)
	}
	for v, err := range s.sessions.List(ctx, session.Filter{}) {
		if err != nil {
			return err
		}
		s.tell("   session %s of %s: %s", v.ID, v.User, v.State)
	}
	return nil
}

// leftOnEngine is left where one engine runs everything.
func (s *stage) leftOnEngine(ctx context.Context) error {
	if err := s.kept(ctx); err != nil {
		return err
	}
	running := 0
	for w, err := range s.hosts.List(ctx, launcher.Filter{Labels: map[string]string{"atelier.domain": s.research.Name()}}) {
		if err != nil {
			return err
		}
		if w.Phase != launcher.Exited {
			running++
		}
	}
	s.tell("   containers that still run: %d", running)
	return nil
}

// get reads a file of a session's container through its port; the empty name
// is the session's greeting.
func (s *stage) get(ctx context.Context, id session.ID, file string) (string, error) {
	return s.call(ctx, id, http.MethodGet, file, "")
}

// put writes one.
func (s *stage) put(ctx context.Context, id session.ID, file, text string) error {
	_, err := s.call(ctx, id, http.MethodPut, file, text)
	return err
}

// call asks the program in a session. A container runs a moment before its
// program listens: until then the call is made again, for ten seconds.
func (s *stage) call(ctx context.Context, id session.ID, method, file, body string) (text string, err error) {
	for deadline := time.Now().Add(10 * time.Second); ; {
		var answered bool
		text, answered, err = s.ask(ctx, id, method, file, body)
		if err == nil || answered || time.Now().After(deadline) {
			return text, err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *stage) ask(ctx context.Context, id session.ID, method, file, body string) (text string, answered bool, err error) {
	url := "http://session/"
	if file != "" {
		url += "files" + file
	}
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", false, err
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.sessions.Dial(ctx, id, "http")
		},
	}}
	response, err := client.Do(request)
	if err != nil {
		return "", false, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s of session %s: %s: %s", method, file, id, response.Status, answer)
	}
	return string(answer), true, err
}

func zones(subnets []domain.Subnet) string {
	var names []string
	for _, s := range subnets {
		names = append(names, s.ID+" in "+s.Zone)
	}
	return strings.Join(names, ", ")
}

func price(s session.Session) string {
	if !s.PriceKnown {
		return "an unknown price"
	}
	return s.PricePerHour.String()
}

func orNone(id string) string {
	if id == "" {
		return "none yet"
	}
	return id
}

// short is enough of a digest to tell two apart.
func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }
