package ec2launcher

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher/internal/hostboot"
)

// TestDialEngine: a connection is good for use once both sides have shown their
// keys and the engine has said that it is on the host; every refusal is told.
func TestDialEngine(t *testing.T) {
	host := Host{ID: "i-0a", InstanceType: "m5.large", Address: "10.0.0.1"}
	var address string // of the engine of a case
	l, cloud := keyed(t, fakeaws.Config{}, func(c *Config) {
		c.Connect = nil
		c.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	if err := l.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := booted(t, l, cloud)
	right := server(t, keys)
	_, foreign, err := newGeneration("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	known, err := generation{CA: keys.CA}.authority()
	if err != nil {
		t.Fatal(err)
	}
	suspicious := right.Clone()
	suspicious.ClientCAs = x509.NewCertPool()
	suspicious.ClientCAs.AddCert(namesake(t, known))

	says := func(labels ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"Labels": labels, "Name": r.URL.Path})
			_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20)) // which arrives later
		}
	}
	for name, c := range map[string]struct {
		tls     *tls.Config
		handler http.HandlerFunc
		want    string // in the error
		doubted bool   // the keys are read again soon
	}{
		"the host":               {right, says("a=b", hostboot.InstanceLabel+"=i-0a"), "", false},
		"another host":           {right, says(hostboot.InstanceLabel + "=i-0ab"), "another host of the fleet answers at its address", false},
		"no host":                {right, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh", 500) }, "does not say which host it is on: 500", false},
		"a host that refuses us": {suspicious, says(), "host i-0a refuses the launcher's certificate", true},
		"another's machine":      {server(t, foreign), says(), "has no certificate of fleet test", true},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := tls.Listen("tcp", "127.0.0.1:0", c.tls)
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{Handler: c.handler, ErrorLog: log.New(io.Discard, "", 0)}
			go s.Serve(listener)
			defer s.Close()
			address = listener.Addr().String()
			l.keys.keep(nil, time.Now())
			conn, err := l.dialEngine(t.Context(), host)
			switch {
			case c.want != "":
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
			case err != nil:
				t.Error(err)
			default:
				// It is as new: nothing is left of the question.
				defer conn.Close()
				again := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
				got, err := again.Get("http://x/next")
				if err != nil {
					t.Fatal(err)
				}
				defer got.Body.Close()
				if text, err := io.ReadAll(got.Body); err != nil || !strings.Contains(string(text), "/next") {
					t.Errorf("the next answer is %q, %v", text, err)
				}
			}
			l.keys.mu.Lock()
			doubted := l.keys.doubted
			l.keys.mu.Unlock()
			if doubted != c.doubted {
				t.Errorf("the keys are doubted %v, want %v", doubted, c.doubted)
			}
		})
	}
}

// namesake is an authority with the name of another, and a key of its own.
func namesake(t *testing.T, known *x509.Certificate) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	known.PublicKey = key.Public()
	der, err := x509.CreateCertificate(rand.Reader, known, known, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// hung is an engine that takes questions and does not answer.
type hung struct{ HostLauncher }

func (hung) Room(ctx context.Context) (launcher.Resources, error) {
	<-ctx.Done()
	return launcher.Resources{}, ctx.Err()
}

// TestHungEngine: an engine that does not say what room it has does not answer.
func TestHungEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		_, err := askRoom(t.Context(), hung{})
		if err == nil || errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != roomLimit {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}

// TestAccessPoint: hosts mount whole access points, and nothing below one: a
// link there may lead anywhere.
func TestAccessPoint(t *testing.T) {
	const whole = "/efs/fs-0123456789abcdef0.fsap-0123456789abcdef0"
	for source, ok := range map[string]bool{
		whole: true, whole + "/project": false, whole + "/": false, "/efs": false, "/efs/fs-0123456789abcdef0": false,
		"/efs/../etc": false, "/etc": false, whole + "\n": false, "/efs/fs-0123456789abcdef0.fsap-x": false,
	} {
		if got, err := accessPoint(t.Context(), launcher.Workload{}, launcher.Mount{Source: source}); (err == nil) != ok || ok && got != source {
			t.Errorf("%q: %q, %v", source, got, err)
		}
	}
}
