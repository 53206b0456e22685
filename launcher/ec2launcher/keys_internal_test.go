package ec2launcher

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// keyed makes a launcher in an account of its own.
func keyed(t *testing.T, account fakeaws.Config, change func(*Config)) (*Launcher, *fakeaws.Cloud) {
	t.Helper()
	cloud, err := fakeaws.New(account)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Fleet: "test", Store: store.NewMemory(), SecurityGroups: []string{"sg-0"}, Subnets: []string{cloud.Subnets()[0].ID},
		Connect: func(context.Context, Host) (HostLauncher, error) { return nil, errors.ErrUnsupported },
	}
	if change != nil {
		change(&c)
	}
	l, err := NewFromConfig(cloud.Config(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l, cloud
}

// booted returns the keys that a host which boots now has.
func booted(t *testing.T, l *Launcher, cloud *fakeaws.Cloud) serverKeys {
	t.Helper()
	out, err := awssecrets.NewFromConfig(cloud.RoleConfig(l.hostRole())).GetSecretValue(t.Context(), &awssecrets.GetSecretValueInput{SecretId: aws.String(l.hostSecret())})
	if err != nil {
		t.Fatal(err)
	}
	var keys serverKeys
	if err := json.Unmarshal([]byte(*out.SecretString), &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

// server is the TLS of an engine with --tlsverify and these keys, as Docker's
// daemon makes it: it wants a certificate of its authority.
func server(t *testing.T, k serverKeys) *tls.Config {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(k.Cert), []byte(k.Key))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(k.CA)) {
		t.Fatal("no authority")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
}

// speak lets a client and a server exchange a word over a socket, and returns
// what each side says of it. In TLS 1.3 a client learns of a refusal at its
// first read.
func speak(t *testing.T, client, host *tls.Config) (atClient, atHost error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	deadline := time.Now().Add(20 * time.Second)
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(deadline) // a connection that is open takes it
		secure := tls.Server(conn, host)
		if err := secure.Handshake(); err != nil {
			served <- err
			return
		}
		_, err = io.WriteString(secure, "hello")
		served <- err
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(deadline) // likewise
	word := make([]byte, 5)
	_, atClient = io.ReadFull(tls.Client(conn, client), word)
	if atClient == nil && string(word) != "hello" {
		atClient = fmt.Errorf("read %q", word)
	}
	_ = conn.Close() // the server may wait for more
	return atClient, <-served
}

// issueWith makes a pair by an authority of its own kind.
func issueWith(t *testing.T, a authority, template *x509.Certificate) (cert string, key secretText) {
	t.Helper()
	cert, key, err := a.issue(template)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// Who may speak to whom, over real sockets; each refusal is on the side that
// should refuse, and says why.
func TestHandshakes(t *testing.T) {
	l, cloud := keyed(t, fakeaws.Config{}, nil)
	if err := l.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	ours, err := l.engineTLS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mine := booted(t, l, cloud)
	now := time.Now()

	_, foreign, err := newGeneration("test", now) // of somebody else's making
	if err != nil {
		t.Fatal(err)
	}
	old, oldServer, err := newGeneration("test", now.Add(-keysLast-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	byHand, err := newAuthority("test", now)
	if err != nil {
		t.Fatal(err)
	}
	caPEM := pemOf("CERTIFICATE", byHand.cert.Raw)
	otherNameCert, otherNameKey := issueWith(t, byHand, &x509.Certificate{DNSNames: []string{engineName("other")}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	clientCert, clientKey := issueWith(t, byHand, &x509.Certificate{DNSNames: []string{engineName("test")}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	serverCert, serverKey := issueWith(t, byHand, &x509.Certificate{DNSNames: []string{engineName("test")}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})

	// with is the launcher's own way, with generations of the test.
	with := func(list ...generation) *tls.Config {
		t.Helper()
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		other, cloud := keyed(t, fakeaws.Config{}, nil)
		_, err = awssecrets.NewFromConfig(cloud.Config()).CreateSecret(t.Context(), &awssecrets.CreateSecretInput{Name: aws.String(other.clientSecret()), SecretString: aws.String(string(text))})
		if err != nil {
			t.Fatal(err)
		}
		c, err := other.engineTLS(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	changed := func(c *tls.Config, change func(*tls.Config)) *tls.Config {
		c = c.Clone()
		change(c)
		return c
	}
	pair := func(cert string, key secretText) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		p, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &p, nil }
	}
	expired := x509.NewCertPool()
	expired.AppendCertsFromPEM([]byte(oldServer.CA))

	for name, c := range map[string]struct {
		client, host     *tls.Config
		atClient, atHost string // words of the refusals; empty is none
	}{
		"the right one": {ours, server(t, mine), "", ""},
		"a host of another authority": {
			ours, server(t, foreign), "certificate signed by unknown authority", "bad certificate",
		},
		"a host whose time is over": {
			changed(ours, func(c *tls.Config) { c.RootCAs = expired }), server(t, oldServer), "certificate has expired", "bad certificate",
		},
		"a host of another fleet's name": {
			with(generation{CA: caPEM, Cert: clientCert, Key: clientKey, Made: now}), server(t, serverKeys{caPEM, otherNameCert, otherNameKey}),
			"certificate is valid for other.hosts.atelier.internal, not test.hosts.atelier.internal", "bad certificate",
		},
		"a host with a client's certificate": {
			with(generation{CA: caPEM, Cert: clientCert, Key: clientKey, Made: now}), server(t, serverKeys{caPEM, clientCert, clientKey}),
			"incompatible key usage", "bad certificate",
		},
		"a host that speaks TLS 1.2": {
			ours, changed(server(t, mine), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), "protocol version not supported", "client offered only unsupported versions",
		},
		"a host that trusts others": {
			ours, changed(server(t, mine), func(c *tls.Config) { c.ClientCAs = expired }), "trusts none of the launcher's certificates", "EOF",
		},
		"a host that names nobody it trusts": {
			ours, changed(server(t, mine), func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAnyClientCert, nil }), "", "",
		},
		"a client without a certificate": {
			changed(ours, func(c *tls.Config) { c.GetClientCertificate = nil }), server(t, mine), "certificate required", "client didn't provide a certificate",
		},
		"a foreign client": {
			changed(ours, func(c *tls.Config) { c.GetClientCertificate = pair(clientCert, clientKey) }), server(t, mine),
			"unknown certificate authority", "certificate signed by unknown authority",
		},
		"a client whose time is over": {
			changed(ours, func(c *tls.Config) { c.GetClientCertificate = pair(old.Cert, old.Key) }),
			changed(server(t, mine), func(c *tls.Config) { c.ClientCAs = expired }),
			"expired certificate", "certificate has expired",
		},
		"a client with a server's certificate": {
			changed(with(generation{CA: caPEM, Cert: clientCert, Key: clientKey, Made: now}), func(c *tls.Config) { c.GetClientCertificate = pair(serverCert, serverKey) }),
			server(t, serverKeys{caPEM, serverCert, serverKey}), "bad certificate", "incompatible key usage",
		},
		"a client with the host's own certificate": {
			changed(ours, func(c *tls.Config) { c.GetClientCertificate = pair(mine.Cert, mine.Key) }), server(t, mine), "bad certificate", "incompatible key usage",
		},
	} {
		t.Run(name, func(t *testing.T) {
			atClient, atHost := speak(t, c.client, c.host)
			for side, told := range map[string]struct {
				err  error
				want string
			}{"launcher": {atClient, c.atClient}, "host": {atHost, c.atHost}} {
				if (told.err == nil) != (told.want == "") || told.err != nil && !strings.Contains(told.err.Error(), told.want) {
					t.Errorf("the %s says %v; want %q", side, told.err, told.want)
				}
			}
		})
	}
}

// Hosts that booted with older keys can be spoken to after rotations, and new
// ones too.
func TestRotationLosesNoHost(t *testing.T) {
	l, cloud := keyed(t, fakeaws.Config{}, nil)
	if err := l.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	var hosts []*tls.Config
	early, err := l.engineTLS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		hosts = append(hosts, server(t, booted(t, l, cloud)))
		if err := l.RotateKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	hosts = append(hosts, server(t, booted(t, l, cloud)))
	client, err := l.engineTLS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n, host := range hosts {
		if atClient, atHost := speak(t, client, host); atClient != nil || atHost != nil {
			t.Errorf("host %d: the launcher says %v, the host %v", n, atClient, atHost)
		}
		atClient, _ := speak(t, early, host)
		if (n == 0) != (atClient == nil) {
			t.Errorf("host %d, by a configuration from before the rotations: %v", n, atClient)
		}
	}
}

// The secret is read at most once in ten minutes, in one after a doubt, by one
// at a time; and what was read is used on while it cannot be read.
func TestKeysAreReadSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		l, cloud := keyed(t, fakeaws.Config{Delays: fakeaws.Delays{Call: time.Second}, Faults: []fakeaws.Fault{
			{Action: "secretsmanager:GetSecretValue", Nth: 6, Status: 403, Code: "AccessDeniedException"},
		}}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&told, nil)) })
		if err := l.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		reads := func() (n int) {
			for _, c := range cloud.Calls() {
				if c.Action == "secretsmanager:GetSecretValue" {
					n++
				}
			}
			return n
		}
		before := reads()
		use := func(what string, want int) {
			t.Helper()
			done := make(chan error)
			for range 5 {
				go func() {
					_, err := l.engineTLS(t.Context())
					done <- err
				}()
			}
			for range 5 {
				if err := <-done; err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if got := reads() - before; got != want {
				t.Errorf("%s: the secret was read %d times, want %d", what, got, want)
			}
		}
		use("first", 1)
		l.keys.doubt()
		use("doubted at once", 1)
		time.Sleep(time.Minute)
		use("doubted a minute later", 2)
		time.Sleep(9 * time.Minute)
		use("fresh", 2)
		if before != 2 {
			t.Fatalf("Setup reads %d times: the fault strikes another read than meant", before)
		}
		time.Sleep(time.Minute)
		use("stale", 3)
		time.Sleep(10 * time.Minute)
		use("stale and refused", 4)
		if !strings.Contains(told.String(), "could not be read again") {
			t.Errorf("the log does not tell of the refusal:\n%s", &told)
		}
		use("not asked again at once", 4)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(10 * time.Minute)
		if _, err := l.engineTLS(ctx); err != context.Canceled {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// Without keys, permission or valid keys it says whose turn it is.
func TestNoKeys(t *testing.T) {
	try := func(l *Launcher, kind launcher.Kind, words string) {
		t.Helper()
		_, err := l.engineTLS(t.Context())
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), words) {
			t.Errorf("%v; want the kind %q and %q", err, kind, words)
		}
	}
	l, _ := keyed(t, fakeaws.Config{}, nil)
	try(l, launcher.ErrNotFound, "run Setup")
	l, _ = keyed(t, fakeaws.Config{Deny: []string{"secretsmanager:GetSecretValue"}}, nil)
	try(l, launcher.ErrDenied, "Policy")
	l.secrets = nil
	try(l, launcher.ErrInvalid, "client is nil")

	put := func(text string) *Launcher {
		l, cloud := keyed(t, fakeaws.Config{}, nil)
		_, err := awssecrets.NewFromConfig(cloud.Config()).CreateSecret(t.Context(), &awssecrets.CreateSecretInput{Name: aws.String(l.clientSecret()), SecretString: aws.String(text)})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	try(put("hush"), launcher.ErrInvalid, "is not as Setup writes it")
	old, _, err := newGeneration("test", time.Now().Add(-keysLast))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal([]generation{old})
	if err != nil {
		t.Fatal(err)
	}
	try(put(string(text)), launcher.ErrNotFound, "run Setup")
	old.Made, old.Key = time.Now(), "hush"
	if text, err = json.Marshal([]generation{old}); err != nil {
		t.Fatal(err)
	}
	l = put(string(text))
	try(l, launcher.ErrInvalid, "run RotateKeys")
	if _, err := l.engineTLS(t.Context()); strings.Contains(err.Error(), "hush") {
		t.Errorf("it tells the key: %v", err)
	}
}

// The launcher warns of keys that end before anybody renewed them.
func TestKeysEndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		l, _ := keyed(t, fakeaws.Config{}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&told, nil)) })
		if err := l.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			after time.Duration
			warns bool
		}{{0, false}, {keysLast*3/4 - time.Hour, false}, {2 * time.Hour, true}} {
			time.Sleep(c.after)
			told.Reset()
			if _, err := l.engineTLS(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(told.String(), "end soon"); got != c.warns {
				t.Errorf("after %v more it warns: %t", c.after, got)
			}
		}
	})
}

// A generation is what its documentation says, and formatting shows no key.
func TestGeneration(t *testing.T) {
	now := time.Date(2030, 5, 6, 7, 8, 9, 10, time.UTC)
	for _, fleet := range []string{"a", "ends-with-hyphen-", strings.Repeat("x", 20)} {
		g, s, err := newGeneration(fleet, now)
		if err != nil {
			t.Fatal(err)
		}
		other, _, err := newGeneration(fleet, now)
		if err != nil {
			t.Fatal(err)
		}
		ca, err := g.authority()
		if err != nil {
			t.Fatal(err)
		}
		otherCA, err := other.authority()
		if err != nil {
			t.Fatal(err)
		}
		if g.CA != s.CA || g.id() == other.id() || bytes.Equal(ca.RawSubject, otherCA.RawSubject) || len(g.id()) != 64 {
			t.Errorf("authorities %v and %v with the ids %s and %s", ca.Subject, otherCA.Subject, g.id(), other.id())
		}
		pool := x509.NewCertPool()
		pool.AddCert(ca)
		for _, c := range []struct {
			cert  string
			usage x509.ExtKeyUsage
			name  string
		}{{s.Cert, x509.ExtKeyUsageServerAuth, engineName(fleet)}, {g.Cert, x509.ExtKeyUsageClientAuth, ""}} {
			pair, err := (generation{CA: c.cert}).authority()
			if err != nil {
				t.Fatal(err)
			}
			for at, valid := range map[time.Time]bool{
				now.Add(-keysBefore): true, now.Add(-keysBefore - time.Second): false, g.ends(): true, g.ends().Add(time.Second): false,
			} {
				_, err := pair.Verify(x509.VerifyOptions{Roots: pool, DNSName: c.name, KeyUsages: []x509.ExtKeyUsage{c.usage}, CurrentTime: at})
				if (err == nil) != valid {
					t.Errorf("%s at %v: %v", pair.Subject, at, err)
				}
			}
			if key, ok := pair.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
				t.Errorf("%s has a key of the type %T", pair.Subject, pair.PublicKey)
			}
			// What it signs, no one takes.
			private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}}, pair, private.Public(), private); err == nil {
				t.Error("a certificate was made with a key that is not the issuer's")
			}
			if pair.IsCA || pair.KeyUsage&x509.KeyUsageCertSign != 0 {
				t.Errorf("%s can sign", pair.Subject)
			}
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format+format, g, s); strings.Contains(text, "PRIVATE") || !strings.Contains(text, "(secret)") {
				t.Errorf("%s shows %s", format, text)
			}
		}
	}
}
