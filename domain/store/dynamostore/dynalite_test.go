package dynamostore_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/domain/store/storetest"
	"github.com/atelier-go/atelier/internal/dockertest"
)

// dynalite starts a server that speaks DynamoDB's protocol and is not ours, and
// returns a config for it. It is installed by npm ci in .ci/dynalite, or where the
// variable ATELIER_DYNALITE says, which is a folder node_modules.
//
// It differs from DynamoDB in that a refused condition never comes with the item
// there is, so that a Store has to read it.
func dynalite(t *testing.T) aws.Config {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: nothing real")
	}
	const folder = "../../../.ci/dynalite"
	modules := os.Getenv("ATELIER_DYNALITE")
	if modules == "" {
		modules = filepath.Join(folder, "node_modules")
	}
	modules, err := filepath.Abs(modules)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "dynalite")); err != nil {
		dockertest.Missing(t, "no dynalite here: run npm ci in .ci/dynalite to run this test (%v)", err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		dockertest.Missing(t, "no node here to run dynalite with: install Node.js to run this test (%v)", err)
	}

	ctx, kill := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, node, "serve.js")
	cmd.Dir, cmd.Env, cmd.WaitDelay = folder, append(os.Environ(), "NODE_PATH="+modules), 10*time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, kill) // to say where it listens
	port, err := bufio.NewReader(stdout).ReadString('\n')
	late.Stop()
	t.Cleanup(func() {
		stdin.Close() // at which it ends
		defer time.AfterFunc(10*time.Second, kill).Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("dynalite: %v\n%s", err, stderr.Bytes())
		}
		kill()
	})
	if err != nil {
		t.Fatalf("dynalite does not start: %v", err)
	}
	return aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
		BaseEndpoint: aws.String("http://127.0.0.1:" + strings.TrimSpace(port)),
	}
}

// TestDynalite holds a Store to the contract over the wire.
func TestDynalite(t *testing.T) {
	cfg := dynalite(t)
	var tables atomic.Int64
	names := map[store.Store]string{}
	open := func(t *testing.T, name string) store.Store {
		s, err := dynamostore.NewFromConfig(cfg, dynamostore.Config{Table: name})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.EnsureTable(t.Context()); err != nil {
			t.Fatal(err)
		}
		names[s] = name
		return s
	}
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) store.Store { return open(t, fmt.Sprint("table", tables.Add(1))) },
		Reopen: func(t *testing.T, s store.Store) store.Store {
			return open(t, names[s])
		},
	})
}

// dropper loses the answers to the next calls that it is told to.
type dropper struct {
	drop atomic.Int64
}

func (d *dropper) Do(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultClient.Do(r)
	if err == nil && d.drop.Add(-1) >= 0 {
		answer.Body.Close()
		return nil, syscall.ECONNRESET
	}
	return answer, err
}

// TestDynaliteLosesAnswers has the SDK repeat requests over the wire whose answers
// were lost.
func TestDynaliteLosesAnswers(t *testing.T) {
	cfg := dynalite(t)
	network := &dropper{}
	cfg.HTTPClient = network
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 10 * time.Millisecond })
	}
	s, err := dynamostore.NewFromConfig(cfg, dynamostore.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	network.drop.Store(1)
	if err := s.EnsureTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	var version int64
	for _, value := range []string{"one", "two", "three"} {
		network.drop.Store(1)
		version = put(t, s, store.Record{Collection: "things", ID: "a", Version: version, Value: []byte(value)})
		network.drop.Store(1)
		if r, err := s.Get(t.Context(), "things", "a"); err != nil || r.Version != version || string(r.Value) != value {
			t.Errorf("at version %d: %+v, %v", version, r, err)
		}
	}
	network.drop.Store(1)
	err = s.Delete(t.Context(), "things", "a", version)
	if !errors.Is(err, dynamostore.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a Delete whose answer was lost: %v", err)
	}
	if err := s.Delete(t.Context(), "things", "a", version); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second Delete: %v", err)
	}
}
