package credentials_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/session/credentials"
)

func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// What a session gets, what AWS is asked for it, and when it is asked again.
func TestGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		const policy = `{"Version":"2012-10-17","Statement":[]}`
		var asks session.Principal
		s := w.serve(credentials.Config{Duration: 20 * time.Minute, Policy: func(_ context.Context, p session.Principal) (string, error) {
			asks = p
			return policy, nil
		}})
		f := w.start("analysis")
		if f.url != mountURL {
			t.Errorf("the container is sent to %q", f.url)
		}
		first := s.ask(t.Context(), f.token)
		expires, err := time.Parse(time.RFC3339, first.Expiration)
		if first.status != 200 || first.AccessKeyId == "" || first.SecretAccessKey == "" || first.Token == "" || err != nil {
			t.Fatalf("the answer is %+v, %v", first, err)
		}
		if left := time.Until(expires); left > 20*time.Minute || left < 20*time.Minute-time.Second {
			t.Errorf("they last %v", left)
		}
		if got := first.head; got.Get("Content-Type") != "application/json" || got.Get("Cache-Control") != "no-store" {
			t.Errorf("the head is %v", got)
		}
		in := s.api.asked[0]
		got := map[string]string{"role": *in.RoleArn, "name": *in.RoleSessionName, "policy": aws.ToString(in.Policy)}
		for _, tag := range in.Tags {
			got[*tag.Key] = *tag.Value
		}
		if diff := cmp.Diff(map[string]string{
			"role": reader, "name": "research.analysis", "policy": policy,
			"atelier:domain": "research", "atelier:user": "alice", "atelier:session": "analysis",
		}, got); diff != "" || aws.ToInt32(in.DurationSeconds) != 1200 {
			t.Errorf("AWS was asked for %d seconds and (-want +got):\n%s", aws.ToInt32(in.DurationSeconds), diff)
		}
		if want := (session.Principal{Domain: "research", User: "alice", Session: "analysis", Generation: 1, Role: reader}); asks != want {
			t.Errorf("the policy was asked for %+v; want %+v", asks, want)
		}

		time.Sleep(time.Until(expires) - 5*time.Minute - time.Millisecond)
		if again := s.ask(t.Context(), f.token); again.AccessKeyId != first.AccessKeyId || s.api.calls() != 1 {
			t.Errorf("more than five minutes before the end: %+v after %d calls", again, s.api.calls())
		}
		time.Sleep(time.Millisecond)
		if again := s.ask(t.Context(), f.token); again.status != 200 || again.AccessKeyId == first.AccessKeyId || s.api.calls() != 2 {
			t.Errorf("five minutes before the end: %+v after %d calls", again, s.api.calls())
		}
		for _, secret := range []string{f.token, first.SecretAccessKey, first.Token} {
			if strings.Contains(s.log.String(), secret) {
				t.Errorf("the log tells a secret: %s", s.log)
			}
		}
		if !strings.Contains(s.log.String(), "session=analysis") {
			t.Errorf("the log does not tell who: %s", s.log)
		}
	})
}

// Names as long as a domain allows them make a name that STS takes.
func TestLongestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		s := w.serve(credentials.Config{})
		f := w.start("a2345678901234567890")
		if got := s.ask(t.Context(), f.token); got.status != 200 {
			t.Errorf("the answer is %+v", got)
		}
	})
}

// A token works from the start of its generation to its end, and never after.
func TestTokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		s := w.serve(credentials.Config{})
		ctx := t.Context()
		expect := func(when, token string, status int, code string) {
			t.Helper()
			if got := s.ask(ctx, token); got.status != status || got.Code != code || (code != "") != (got.AccessKeyId == "") {
				t.Errorf("%s: %+v; want %d %q", when, got, status, code)
			}
		}
		first := w.start("s1")
		expect("running", first.token, 200, "")
		if _, err := w.Sessions.Suspend(ctx, "s1", session.Order{}); err != nil {
			t.Fatal(err)
		}
		expect("suspending", first.token, 200, "")
		w.until("s1", session.Suspended)
		expect("suspended", first.token, 403, "SessionEnded")

		if _, err := w.Sessions.Resume(ctx, "s1", session.ResumeRequest{}); err != nil {
			t.Fatal(err)
		}
		expect("resumed, the old one", first.token, 401, "Unauthorized")
		second := w.runs("s1")
		if second.token == first.token || second.token == "" {
			t.Errorf("the second generation has the token %q, the first %q", second.token, first.token)
		}
		expect("running again", second.token, 200, "")
		expect("running again, the old one", first.token, 401, "Unauthorized")
		if _, err := w.Sessions.Stop(ctx, "s1", session.Order{}); err != nil {
			t.Fatal(err)
		}
		expect("stopping", second.token, 200, "")
		w.until("s1", session.Stopped)
		expect("stopped", second.token, 403, "SessionEnded")
		if err := w.Sessions.Delete(ctx, "s1", session.Order{}); err != nil {
			t.Fatal(err)
		}
		expect("deleted", second.token, 401, "Unauthorized")
	})
}

// Whoever is not a session, or asks otherwise than an SDK does, gets nothing,
// and AWS is not asked.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		s := w.serve(credentials.Config{})
		one, two := w.start("s1"), w.start("s2")
		if _, err := w.Sessions.Start(t.Context(), session.StartRequest{ID: "plain", User: "alice", InstanceType: "t3.medium"}); err != nil {
			t.Fatal(err)
		}
		if f := w.runs("plain"); f != (found{}) {
			t.Errorf("a session without a role finds %+v", f)
		}
		foreign := "s1" + strings.TrimPrefix(two.token, "s2")
		flipped := one.token[:len(one.token)-1] + "2"
		if flipped == one.token {
			flipped = one.token[:len(one.token)-1] + "3"
		}
		for name, token := range map[string]string{
			"Foreign": foreign, "Flipped": flipped, "Short": one.token[:len(one.token)-1], "Long": one.token + "A", "Twice": one.token + one.token,
			"Scheme": "Bearer " + one.token, "NoSecret": "s1.1.", "ID": "s1", "Unknown": "s3.1.AAAAAAAAAAAAAAAAAAAAAAAAAA",
			"WithoutRole": "plain.1.", "WithoutRoleID": "plain", "Junk": "\x00../../", "Huge": strings.Repeat("s", 100_000), "Empty": "",
		} {
			if got := s.ask(t.Context(), token); got.status != 401 || got.Code != "Unauthorized" || got.AccessKeyId != "" || got.head.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %+v", name, got)
			}
		}
		request := func(method, url string, body io.Reader) *http.Request {
			r := httptest.NewRequestWithContext(t.Context(), method, url, body)
			r.Header.Set("Authorization", one.token)
			return r
		}
		double := request("GET", mountURL, http.NoBody)
		double.Header.Add("Authorization", one.token)
		chunked := request("GET", mountURL, http.NoBody)
		chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader("x")), -1
		for name, c := range map[string]struct {
			r      *http.Request
			status int
			code   string
		}{
			"Post":    {request("POST", mountURL, http.NoBody), 405, "MethodNotAllowed"},
			"Head":    {request("HEAD", mountURL, http.NoBody), 405, "MethodNotAllowed"},
			"Path":    {request("GET", mountURL+"/other", http.NoBody), 404, "NotFound"},
			"Root":    {request("GET", "https://portal.example.com/", http.NoBody), 404, "NotFound"},
			"Body":    {request("GET", mountURL, strings.NewReader("x")), 400, "BadRequest"},
			"Chunked": {chunked, 400, "BadRequest"},
			"Double":  {double, 401, "Unauthorized"},
		} {
			if got := s.send(c.r); got.status != c.status || got.Code != c.code || got.Message == "" || got.head.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %+v; want %d %s", name, got, c.status, c.code)
			}
		}
		if n := s.api.calls(); n != 0 {
			t.Errorf("AWS was asked %d times", n)
		}
		if strings.Contains(s.log.String(), one.token) || strings.Contains(s.log.String(), foreign) {
			t.Errorf("the log tells a token: %s", s.log)
		}
	})
}

// What AWS answers is mapped once, and says whose turn it is.
func TestAWSRefuses(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		code   string
		say    string
	}{
		"AccessDenied":            {403, "AccessDenied", "an administrator has to allow it sts:AssumeRole and sts:TagSession"},
		"RegionDisabledException": {403, "RegionDisabled", "an administrator has to activate it"},
		"MalformedPolicyDocument": {400, "MalformedPolicyDocument", "an administrator has to correct"},
		"PackedPolicyTooLarge":    {400, "PackedPolicyTooLarge", "an administrator has to correct"},
		"ValidationError":         {400, "ValidationError", "an administrator has to correct"},
		"Throttling":              {429, "Throttling", "ask again"},
		"RequestLimitExceeded":    {429, "Throttling", "ask again"},
		"ExpiredToken":            {500, "ProgramCredentials", "an administrator has to renew them"},
		"InvalidClientTokenId":    {500, "ProgramCredentials", "an administrator has to renew them"},
		"InternalFailure":         {503, "ServiceUnavailable", "ask again"},
	} {
		inBubble(t, code, func(t *testing.T) {
			w := newWorld(t, mountURL, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "sts:AssumeRole", Code: code}}})
			s := w.serve(credentials.Config{})
			f := w.start("s1")
			got := s.ask(t.Context(), f.token)
			if got.status != want.status || got.Code != want.code || !strings.Contains(got.Message, want.say) {
				t.Errorf("the answer is %+v; want %d %s: %s", got, want.status, want.code, want.say)
			}
			if got.head.Get("Content-Type") != "application/json" || (want.status == 429 || want.status == 503) != (got.head.Get("Retry-After") != "") {
				t.Errorf("the head is %v", got.head)
			}
			if !strings.Contains(s.log.String(), code) || strings.Contains(s.log.String(), f.token) {
				t.Errorf("the log is %s", s.log)
			}
		})
	}
	inBubble(t, "UnknownRole", func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		if err := w.Domain.SetPolicy(t.Context(), policyOf(reader+"2")); err != nil {
			t.Fatal(err)
		}
		_, err := w.Sessions.Start(t.Context(), session.StartRequest{ID: "s1", User: "alice", InstanceType: "t3.medium", Role: reader + "2"})
		if err != nil {
			t.Fatal(err)
		}
		s, f := w.serve(credentials.Config{}), w.runs("s1")
		if got := s.ask(t.Context(), f.token); got.status != 403 || !strings.Contains(got.Message, reader+"2") {
			t.Errorf("the answer is %+v", got)
		}
		w.Cloud.AllowRole(reader + "2") // what failed was not kept
		if got := s.ask(t.Context(), f.token); got.status != 200 {
			t.Errorf("once it is allowed: %+v", got)
		}
	})
	inBubble(t, "Policy", func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		s := w.serve(credentials.Config{Policy: func(context.Context, session.Principal) (string, error) { return "", errors.New("hush") }})
		f := w.start("s1")
		if got := s.ask(t.Context(), f.token); got.status != 500 || got.Code != "SessionPolicy" || strings.Contains(got.Message, "hush") {
			t.Errorf("the answer is %+v", got)
		}
		if s.api.calls() != 0 {
			t.Error("AWS was asked without the policy")
		}
	})
}

// Many at once ask AWS once, and who goes away takes nobody along.
func TestTogether(t *testing.T) {
	inBubble(t, "Once", func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{Delays: fakeaws.Delays{Call: time.Second}})
		s, f := w.serve(credentials.Config{}), w.start("s1")
		keys := make(map[string]bool)
		var mu sync.Mutex
		var all sync.WaitGroup
		first, leave := context.WithCancel(t.Context())
		all.Go(func() { s.ask(first, f.token) })
		synctest.Wait()
		for range 20 {
			all.Go(func() {
				got := s.ask(t.Context(), f.token)
				mu.Lock()
				defer mu.Unlock()
				keys[got.AccessKeyId] = true
			})
		}
		synctest.Wait()
		leave()
		all.Wait()
		if len(keys) != 1 || keys[""] || s.api.calls() != 1 {
			t.Errorf("%d calls gave keys %v", s.api.calls(), keys)
		}
	})
	inBubble(t, "Canceled", func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		s, f := w.serve(credentials.Config{}), w.start("s1")
		ended := make(chan error, 1)
		s.api.before = func(ctx context.Context) { <-ctx.Done(); ended <- ctx.Err() }
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		time.AfterFunc(time.Second, cancel)
		s.ask(ctx, f.token)
		if took := time.Since(begun); took != time.Second {
			t.Errorf("a request that was given up lasted %v", took)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) || time.Since(begun) != time.Second {
			t.Errorf("the call that nobody waits for ended with %v after %v", err, time.Since(begun))
		}
		s.api.before = nil
		if got := s.ask(t.Context(), f.token); got.status != 200 {
			t.Errorf("the next one gets %+v", got)
		}
	})
	inBubble(t, "Slow", func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		s, f := w.serve(credentials.Config{}), w.start("s1")
		s.api.before = func(ctx context.Context) { <-ctx.Done() }
		begun := time.Now()
		if got := s.ask(t.Context(), f.token); got.status != 503 || time.Since(begun) != 30*time.Second {
			t.Errorf("an AWS that does not answer: %+v after %v", got, time.Since(begun))
		}
	})
	inBubble(t, "EndedMeanwhile", func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		s, f := w.serve(credentials.Config{}), w.start("s1")
		s.api.before = func(context.Context) {
			if _, err := w.Sessions.Stop(t.Context(), "s1", session.Order{}); err != nil {
				t.Error(err)
			}
			w.until("s1", session.Stopped)
		}
		if got := s.ask(t.Context(), f.token); got.status != 403 || got.AccessKeyId != "" {
			t.Errorf("a session that ended while AWS was asked: %+v", got)
		}
	})
}

func TestNewProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		unmounted, err := session.New(w.Domain, w.Fleet, session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		sts := awssts.NewFromConfig(w.AWS)
		for name, c := range map[string]struct {
			make func() (*credentials.Handler, error)
			say  []string
		}{
			"Everything": {func() (*credentials.Handler, error) {
				return credentials.New(nil, nil, credentials.Config{Duration: time.Minute})
			}, []string{"API is nil", "manager is nil", "1m0s"}},
			"NoURL": {func() (*credentials.Handler, error) { return credentials.New(sts, unmounted, credentials.Config{}) }, []string{"CredentialsURL"}},
			"Long": {func() (*credentials.Handler, error) {
				return credentials.New(sts, w.Sessions, credentials.Config{Duration: 61 * time.Minute})
			}, []string{"1h1m0s"}},
			"Fraction": {func() (*credentials.Handler, error) {
				return credentials.New(sts, w.Sessions, credentials.Config{Duration: 16*time.Minute + 1})
			}, []string{"whole seconds"}},
		} {
			_, err := c.make()
			if !errors.Is(err, session.ErrInvalid) {
				t.Errorf("%s: New = %v", name, err)
				continue
			}
			for _, word := range c.say {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: New = %q; want it to say %q", name, err, word)
				}
			}
		}
	})
}

// A handler behind something that changes paths is told.
func TestPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mountURL, fakeaws.Config{})
		s, f := w.serve(credentials.Config{Path: "/"}), w.start("s1")
		s.api.before = nil
		if got := s.ask(t.Context(), f.token); got.status != 404 {
			t.Errorf("at the URL's own path: %+v", got)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, mountURL, http.NoBody)
		r.Header.Set("Authorization", f.token)
		rec := httptest.NewRecorder()
		http.StripPrefix("/credentials", s).ServeHTTP(rec, r)
		if rec.Code != 200 {
			t.Errorf("behind StripPrefix: %d %s", rec.Code, rec.Body)
		}
	})
}
