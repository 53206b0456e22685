// Package archtest holds the shape of the library: which package may reach
// which, with the reason beside each rule.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/atelier-go/atelier"

// A rule forbids packages that match from to reach what matches to, directly
// or through others, except what matches unless.
type rule struct {
	from   string
	to     []string
	unless []string
	direct bool // only the package's own imports count
	why    string
}

var rules = []rule{
	{from: "instancetype", to: []string{"aws"}, why: "a type and its price are known without an account"},
	{from: "launcher", to: []string{"aws", "ours"}, why: "the vocabulary belongs to every launcher"},
	{from: "domain/store", to: []string{"aws", "ours"}, why: "a store can be anywhere and knows nothing of what it keeps"},
	{from: "fake/fakelauncher", to: []string{"aws"}, why: "a container engine is not AWS"},
	{from: "launcher/dockerlauncher", to: []string{"aws"}, why: "a laptop has no account"},
	{from: "session", to: []string{"aws"}, direct: true, why: "sessions speak to a launcher and a domain, never to AWS"},
	{from: "session/proxy", to: []string{"aws", "domain", "domain/...", "launcher", "launcher/...", "internal/..."}, direct: true, why: "it serves sessions by what a manager offers every caller"},
	{from: "launcher/...", to: []string{"domain", "session", "efs", "image"}, why: "a launcher runs workloads and knows no users"},
	{from: "domain", to: []string{"launcher", "launcher/...", "session"}, why: "who may run what does not depend on what runs it"},
	{from: "workbench", to: []string{"launcher", "launcher/...", "session", "session/..."}, why: "a host and its configuration know what a domain allows; what runs sessions is the plugin's"},
	{from: "efs", to: []string{"domain", "domain/...", "launcher", "launcher/...", "session", "image"}, why: "a leaf: file systems and nothing else"},
	{from: "image", to: []string{"domain", "domain/...", "launcher", "launcher/...", "session", "efs"}, why: "a leaf: images and nothing else"},
	{
		from: "workbench", to: []string{"ours"},
		unless: []string{"domain", "domain/store", "efs", "image", "instancetype", "internal/...", "workbench/internal/..."},
		why:    "the host is the domain's and AWS's; what its plugin runs sessions by, the plugin brings",
	},
	{from: "...", to: []string{"workbench"}, unless: []string{"workbench", "workbench/...", "examples/..."}, why: "whoever has no Workbench does not link its host"},
	{
		from: "domain/sagemakerdomain", to: []string{"ours"},
		unless: []string{"domain", "domain/store", "efs", "image", "instancetype", "internal/..."},
		why:    "what SageMaker manages is told in the words of a domain of ours, and runs nothing",
	},
	{from: "...", to: []string{"domain/sagemakerdomain", "github.com/aws/aws-sdk-go-v2/service/sagemaker"}, unless: []string{"domain/sagemakerdomain", "fake", "fake/...", "launcher/launchertest", "examples/..."}, why: "whoever has no domain of SageMaker's does not link its client"},
	{
		from: "fake/fakeaws", to: []string{"ours"},
		unless: []string{"launcher", "fake/fakelauncher", "instancetype", "internal/..."},
		why:    "the account must not know the library it tests; shapes and prices it shares, they are data",
	},
	{
		from: "...", to: []string{"fake", "fake/..."},
		unless: []string{"fake", "fake/...", "examples/...", "launcher/launchertest"},
		why:    "only examples and tests reach fakes",
	},
	{
		from: "linked", to: []string{"testing", "testing/...", "github.com/google/go-cmp/...", "github.com/anishathalye/porcupine",
			"github.com/google/go-containerregistry/...", "golang.org/x/net/nettest", "go.opentelemetry.io/otel/sdk/...", module + "/examples/..."},
		why: "what a caller links carries no test code",
	},
	{from: "...", to: []string{"github.com/moby/moby/..."}, unless: []string{"launcher/dockerlauncher", "launcher/ec2launcher", "fake", "internal/dockertest", "launcher/ec2launcher/internal/hosttest", "examples/..."}, why: "only the engine's launcher speaks to engines"},
	{from: "...", to: []string{"go.opentelemetry.io/otel"}, direct: true, why: "what is measured goes to the provider that the caller gives, never to the global one"},
	{from: "launcher/ec2launcher", to: []string{"github.com/moby/moby/..."}, direct: true, why: "it speaks to engines through the launcher of one"},
	{from: "...", to: []string{"go.etcd.io/bbolt"}, unless: []string{"domain/store/boltstore", "examples/..."}, why: "whoever does not choose the file store does not link it"},
	{
		from: "...", to: []string{"github.com/aws/aws-sdk-go-v2/service/dynamodb", "github.com/aws/aws-sdk-go-v2/service/dynamodb/..."},
		unless: []string{"domain/store/dynamostore", "fake", "fake/...", "launcher/launchertest", "examples/..."},
		why:    "whoever does not choose the table store does not link its client",
	},
	{from: "workbench/positlauncher/wire", to: []string{"aws", "ours"}, why: "the Launcher's language is its own, and plugins of others may speak it"},
	{from: "workbench/positlauncher/positlaunchertest", to: []string{"aws", "ours"}, unless: []string{"workbench/positlauncher/wire"}, why: "it tests any plugin, also of who links nothing else of ours"},
	{from: "domain/store/dynamostore", to: []string{"ours"}, unless: []string{"domain/store", "internal/iampolicy", "internal/pace"}, why: "a store knows nothing of what it keeps"},
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Name       string
}

func TestEdges(t *testing.T) {
	all := list(t)
	if len(all) < 10 {
		t.Fatalf("go list found %d packages; the rules would hold for nothing", len(all))
	}
	for _, r := range rules {
		for _, p := range all {
			name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
			if !subject(r.from, name) || matchesAny(r.unless, name) && r.from == "..." {
				continue
			}
			reach := p.Deps
			if r.direct {
				reach = p.Imports
			}
			for _, dep := range reach {
				ours, isOurs := strings.CutPrefix(dep, module+"/")
				if dep == p.ImportPath || isOurs && matchesAny(r.unless, ours) {
					continue
				}
				if forbidden(r.to, dep, ours, isOurs) {
					t.Errorf("%s must not reach %s: %s", name, dep, r.why)
				}
			}
		}
	}
}

// TestTopLevel holds the list of what stands at the top of the repository.
func TestTopLevel(t *testing.T) {
	want := strings.Fields("domain efs workbench launcher session image instancetype fake examples internal " +
		"doc.go go.mod go.sum README.md LICENSE CHANGELOG.md CONTRIBUTING.md")
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(want, e.Name()) {
			t.Errorf("%s does not belong at the top level: everything has a room (%s)", e.Name(), strings.Join(want, " "))
		}
	}
}

// subject reports whether a rule is about a package.
func subject(from, name string) bool {
	if from == "linked" {
		return !strings.HasPrefix(name, "fake") && !strings.HasPrefix(name, "examples") && !strings.HasPrefix(name, "internal/archtest") &&
			!strings.HasSuffix(path.Base(name), "test")
	}
	return matches(from, name)
}

func forbidden(to []string, dep, ours string, isOurs bool) bool {
	for _, pattern := range to {
		switch {
		case pattern == "aws":
			if strings.HasPrefix(dep, "github.com/aws/") {
				return true
			}
		case pattern == "ours":
			if isOurs {
				return true
			}
		case isOurs && matches(pattern, ours), !isOurs && matches(pattern, dep):
			return true
		}
	}
	return false
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// matches understands "a/b", "a/..." for everything below a, and "..." for all.
func matches(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(name, below+"/")
	}
	return pattern == name
}

// list asks the go command about every package of the module.
func list(t *testing.T) []pkg {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,Name", "./...")
	cmd.Dir = "../.."
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
