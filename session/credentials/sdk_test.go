package credentials_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/session/credentials"
)

// The provider of the real SDK, over a real connection, with what a container
// finds: it gets credentials and new ones, asks again when it should, and loses
// them when its session ends.
func TestRealSDK(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var h atomic.Pointer[server] // the URL is needed first
	var requests, unavailable atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if unavailable.Add(-1) >= 0 {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.Load().ServeHTTP(rw, r)
	}))
	defer web.Close()
	w := newWorld(t, web.URL+"/credentials", fakeaws.Config{})
	s := w.serve(credentials.Config{})
	// They are to be replaced a quarter of a second from when they were given.
	s.api.change = func(out *awssts.AssumeRoleOutput) {
		out.Credentials.Expiration = aws.Time(time.Now().Add(5*time.Minute + 250*time.Millisecond))
	}
	h.Store(&s)
	f := w.start("analysis")
	provider := endpointcreds.New(f.url, func(o *endpointcreds.Options) {
		o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) { return f.token, nil })
	})

	first, err := provider.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !first.HasKeys() || first.SessionToken == "" || !first.CanExpire || time.Until(first.Expires) < 5*time.Minute-2*time.Second {
		t.Errorf("the SDK got %+v", first)
	}
	for {
		again, err := provider.Retrieve(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if again.AccessKeyID != first.AccessKeyID {
			break
		}
	}

	unavailable.Store(1)
	requests.Store(0)
	if _, err := provider.Retrieve(ctx); err != nil || requests.Load() != 2 {
		t.Errorf("after one 503 the SDK asked %d times: %v", requests.Load(), err)
	}

	stranger := endpointcreds.New(f.url, func(o *endpointcreds.Options) { o.AuthorizationToken = f.token + "x" })
	lost := func(who string, p *endpointcreds.Provider, code string) {
		t.Helper()
		requests.Store(0)
		got, err := p.Retrieve(ctx)
		refusal, ok := errors.AsType[smithy.APIError](err)
		if got.HasKeys() || !ok || refusal.ErrorCode() != code || refusal.ErrorMessage() == "" || requests.Load() != 1 {
			t.Errorf("%s: %v after %d requests; want %s at the first", who, err, requests.Load(), code)
		}
	}
	lost("a stranger", stranger, "Unauthorized")
	if _, err := w.Sessions.Stop(ctx, "analysis", session.Order{}); err != nil {
		t.Fatal(err)
	}
	w.until("analysis", session.Stopped)
	lost("a session that was stopped", provider, "SessionEnded")
}
