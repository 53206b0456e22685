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
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
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

	old := right.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12

	const right0a = hostboot.InstanceLabel + "=i-0a"
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
		"the host":     {right, says("a=b", right0a), "", false},
		"another host": {right, says(hostboot.InstanceLabel + "=i-0ab"), "another host of the fleet answers at its address", false},
		"no engine":    {right, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh", 500) }, "does not say which host it is on: 500", false},
		"an engine's error": {right, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(map[string]any{"message": "too busy", "Labels": []string{right0a}})
		}, "does not say which host it is on: 503 Service Unavailable too busy", false},
		"the host's last words": {right, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			says(right0a)(w, r)
		}, "what it says next is not for us", false},
		"words too many": {right, func(w http.ResponseWriter, _ *http.Request) {
			conn, out, _ := w.(http.Hijacker).Hijack()
			defer conn.Close()
			body := `{"Labels":["` + right0a + `"]}`
			fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\n", len(body), body)
			_ = out.Flush()
		}, "what it says next is not for us", false},
		"an old protocol":        {old, says(), "remote error: tls: protocol version not supported", false},
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

// TestSlowEngine: a busy engine may take a while to say which host it is on.
func TestSlowEngine(t *testing.T) {
	for takes, want := range map[time.Duration]time.Duration{14 * time.Second: 14 * time.Second, time.Minute: 15 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var engine *http.Server
			var served sync.WaitGroup
			l, cloud := keyed(t, fakeaws.Config{}, func(c *Config) {
				c.Connect = nil
				c.DialContext = func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					served.Go(func() { _ = engine.Serve(&once{Conn: theirs, TLS: engine.TLSConfig}) })
					return ours, nil
				}
			})
			if err := l.Setup(t.Context()); err != nil {
				t.Fatal(err)
			}
			engine = &http.Server{TLSConfig: server(t, booted(t, l, cloud)), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(takes):
				case <-r.Context().Done():
				}
				_, _ = io.WriteString(w, `{"Labels":["`+hostboot.InstanceLabel+`=i-0a"]}`)
			})}
			begun := time.Now()
			conn, err := l.dialEngine(t.Context(), Host{ID: "i-0a", Address: "10.0.0.1"})
			if took := time.Since(begun); took != want || (err == nil) != (takes == want) {
				t.Errorf("an engine that takes %v answers after %v with %v", takes, took, err)
			}
			if conn != nil {
				conn.Close()
			}
			_ = engine.Close()
			served.Wait()
		})
	}
}

// A once is a listener that accepts one connection.
type once struct {
	net.Conn
	TLS *tls.Config
}

func (o *once) Accept() (net.Conn, error) {
	if o.Conn == nil {
		return nil, net.ErrClosed
	}
	conn := tls.Server(o.Conn, o.TLS)
	o.Conn = nil
	return conn, nil
}
func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return &net.UnixAddr{} }

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

// TestMountable: hosts mount whole access points and the directories that they
// were given, and nothing below one: a link there may lead anywhere.
func TestMountable(t *testing.T) {
	l := &Launcher{cfg: Config{HostPaths: []string{"/srv/data"}}}
	const whole = "/efs/fs-0123456789abcdef0.fsap-0123456789abcdef0"
	for source, ok := range map[string]bool{
		whole: true, whole + "/project": false, whole + "/": false, "/efs": false, "/efs/fs-0123456789abcdef0": false,
		"/efs/../etc": false, "/etc": false, whole + "\n": false, "/efs/fs-0123456789abcdef0.fsap-x": false,
		"/srv/data": true, "/srv": false, "/srv/data/": false, "/srv/data/../..": false, "/srv/data/below": false, "/srv/data2": false, "": false,
	} {
		if got, err := l.mountable(t.Context(), launcher.Workload{}, launcher.Mount{Source: source}); (err == nil) != ok || ok && got != source {
			t.Errorf("%q: %q, %v", source, got, err)
		}
	}
}
