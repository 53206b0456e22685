// Package dynalitetest gives tests a real server that speaks DynamoDB's protocol.
package dynalitetest

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/atelier-go/atelier/internal/realtest"
)

// Start starts a server that speaks DynamoDB's protocol and is not ours, and
// returns a config for it. It is installed by npm ci in .ci/dynalite, or where the
// variable ATELIER_DYNALITE says, which is a folder node_modules.
//
// It differs from DynamoDB in that a refused condition never comes with the item
// there is, so that a Store has to read it.
func Start(t testing.TB) aws.Config {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: nothing real")
	}
	folder := filepath.Join(".ci", "dynalite") // a test runs somewhere below its parent
	for _, err := os.Stat(folder); err != nil && len(folder) < 100; _, err = os.Stat(folder) {
		folder = filepath.Join("..", folder)
	}
	modules := os.Getenv("ATELIER_DYNALITE")
	if modules == "" {
		modules = filepath.Join(folder, "node_modules")
	}
	modules, err := filepath.Abs(modules)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "dynalite")); err != nil {
		realtest.Missing(t, "no dynalite here: run npm ci in .ci/dynalite to run this test (%v)", err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		realtest.Missing(t, "no node here to run dynalite with: install Node.js to run this test (%v)", err)
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
