package ec2launcher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// The stories that crashes interrupt: what was called before, and the call.
var administration = map[string]struct {
	before []func(*ec2launcher.Launcher, context.Context) error
	call   func(*ec2launcher.Launcher, context.Context) error
}{
	"Setup":      {nil, (*ec2launcher.Launcher).Setup},
	"RotateKeys": {[]func(*ec2launcher.Launcher, context.Context) error{(*ec2launcher.Launcher).Setup}, (*ec2launcher.Launcher).RotateKeys},
	"Teardown":   {[]func(*ec2launcher.Launcher, context.Context) error{(*ec2launcher.Launcher).Setup}, (*ec2launcher.Launcher).Teardown},
	"Setup after Teardown": {
		[]func(*ec2launcher.Launcher, context.Context) error{(*ec2launcher.Launcher).Setup, (*ec2launcher.Launcher).Teardown},
		(*ec2launcher.Launcher).Setup,
	},
}

// The SDK asks again when an answer is lost. What it then hears is that there is one
// already, whatever it asked for.
func TestSetupLosesAnswers(t *testing.T) {
	for _, action := range []string{"iam:CreateRole", "iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile", "ec2:CreateSecurityGroup", "secretsmanager:CreateSecret", "logs:CreateLogGroup"} {
		t.Run(action, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				account := slow()
				account.Faults = []fakeaws.Fault{{Action: action, Nth: 1, After: true}}
				y := newYard(t, account)
				if err := y.launcher().Setup(t.Context()); err != nil || y.cloud.Injected() == 0 {
					t.Errorf("Setup: %v (%d answers lost)", err, y.cloud.Injected())
				}
			})
		})
	}
}

// A process that dies at any call of AWS, before or after it took effect, has
// done nothing that a second call does not complete; and at no moment would a
// host boot with keys that the launcher does not know.
func TestAdministrationCrashesAtEveryCall(t *testing.T) {
	for name, story := range administration {
		// tell runs the story up to the call and returns how many calls of AWS
		// were made before it.
		tell := func(y *yard) int {
			for _, call := range story.before {
				y.must(call(y.launcher(), y.Context()))
			}
			return len(y.cloud.Calls())
		}
		var calls []fakeaws.Call
		var want string
		t.Run(name+"/undisturbed", func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				y := newYard(t, slow())
				from := tell(y)
				y.must(story.call(y.launcher(), t.Context()))
				calls = y.cloud.Calls()[from:]
				want = y.inventory()
			})
		})
		if len(calls) < 4 {
			t.Fatalf("%s makes %d calls only", name, len(calls))
		}
		for _, c := range calls {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%s/%d/after=%t", name, c.Action, strings.ReplaceAll(c.Subject, "/", "."), c.Nth, after), func(t *testing.T) {
					t.Parallel()
					bubble(t, func(t *testing.T) {
						y := newYard(t, slow(fakeaws.Fault{Action: c.Action, Subject: c.Subject, Nth: c.Nth, Crash: true, After: after}))
						tell(y)
						if err := story.call(y.launcher(), t.Context()); !errors.Is(err, fakeaws.ErrCrashed) {
							t.Fatalf("%v; want a crash", err)
						}
						y.verifiable() // as a host and a launcher would read at once
						y.must(story.call(y.launcher(), t.Context()))
						y.verifiable()
						if got := y.inventory(); got != want {
							t.Errorf("got\n%s\nwant\n%s", got, want)
						}
						time.Sleep(time.Minute)
						y.verifiable()
					})
				})
			}
		}
	}
}

// Setups of several processes take turns: whatever they do, the hosts' keys are
// the launcher's newest.
func TestSetupsAtOneTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := slow()
		account.Delays.Call = 200 * time.Millisecond
		y := newYard(t, account)
		var all sync.WaitGroup
		for range 4 {
			l := y.launcher()
			all.Go(func() {
				if err := l.Setup(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		host, client := y.keys()
		if len(client) != 1 || client[0].CA != host.CA {
			t.Errorf("%d generations of keys after four Setups at one time", len(client))
		}
	})
}

// Keys are renewed at half their time, and dropped when it is over.
func TestKeysAreRenewed(t *testing.T) {
	const day = 24 * time.Hour
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		generations := func(call func(context.Context) error) (n int, newest string) {
			t.Helper()
			y.must(call(t.Context()))
			y.verifiable()
			host, client := y.keys()
			if host.CA != client[0].CA {
				t.Error("hosts have not the newest keys")
			}
			return len(client), client[0].CA
		}
		_, first := generations(y.launcher().Setup)
		time.Sleep(364 * day)
		if n, newest := generations(y.launcher().Setup); n != 1 || newest != first {
			t.Errorf("before half the time there are %d generations", n)
		}
		time.Sleep(2 * day)
		n, second := generations(y.launcher().Setup)
		if n != 2 || second == first {
			t.Errorf("after half the time there are %d generations", n)
		}
		if n, newest := generations(y.launcher().RotateKeys); n != 3 || newest == second {
			t.Errorf("after a rotation there are %d generations", n)
		}
		time.Sleep(364 * day) // the first is over, the others have half of their time yet
		if n, _ := generations(y.launcher().Setup); n != 2 {
			t.Errorf("after the end of the first there are %d generations", n)
		}
	})
	bubble(t, func(t *testing.T) { // somebody rotates and rotates
		y := newYard(t, slow())
		y.must(y.launcher().Setup(t.Context()))
		for range 23 {
			y.must(y.launcher().RotateKeys(t.Context()))
		}
		text, err := y.read(y.cloud.Config(), clientSecret)
		if err != nil || len(text) > 60000 {
			t.Errorf("the secret has %d bytes, %v", len(text), err)
		}
		before, _ := y.keys()
		y.is(y.launcher().RotateKeys(t.Context()), launcher.ErrQuota, "wait until")
		if after, _ := y.keys(); *after != *before {
			t.Error("a rotation that was refused changed the hosts' keys")
		}
		y.must(y.launcher().Setup(t.Context()))
	})
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.is(y.launcher().RotateKeys(t.Context()), launcher.ErrNotFound, "call Setup")
	})
}

// Every refusal of AWS has its kind and says what to do, and nothing that is
// told, by errors or in the log, has a key in it.
func TestAdministrationTellsNoSecrets(t *testing.T) {
	var keys []string // every line of every key
	secrets := func(y *yard) {
		host, client := y.keys()
		all := client
		if host != nil {
			all = append(slices.Clone(client), *host)
		}
		for _, k := range all {
			for line := range strings.Lines(k.Key) {
				if line = strings.TrimSpace(line); len(line) > 20 && !strings.HasPrefix(line, "---") {
					keys = append(keys, line)
				}
			}
		}
	}
	var told bytes.Buffer
	for name, story := range administration {
		var calls []fakeaws.Call
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				y := newYard(t, slow())
				for _, call := range story.before {
					y.must(call(y.launcher(), t.Context()))
				}
				from := len(y.cloud.Calls())
				y.must(story.call(y.launcher(), t.Context()))
				calls = y.cloud.Calls()[from:]
				secrets(y)
				told.Write(y.told.Bytes())
			})
			for _, c := range calls {
				bubble(t, func(t *testing.T) {
					y := newYard(t, slow(fakeaws.Fault{Action: c.Action, Subject: c.Subject, Nth: c.Nth, Status: 403, Code: "AccessDeniedException"}))
					for _, call := range story.before {
						y.must(call(y.launcher(), t.Context()))
					}
					err := story.call(y.launcher(), t.Context())
					y.is(err, launcher.ErrDenied, "an administrator has to give the credentials")
					secrets(y)
					fmt.Fprintf(&told, "%v\n%+v\n%s", err, err, y.told)
				})
			}
		})
	}
	for _, broken := range []string{`[{"ca": 12345678901234567890123}]`, `{"key": "hush-hush-hush-hush-hush"`, `[{"made": "hush-hush-hush-hush-hush"}]`} {
		bubble(t, func(t *testing.T) {
			y := newYard(t, slow())
			y.must(y.launcher().Setup(t.Context()))
			y.must2(awssecrets.NewFromConfig(y.cloud.Config()).PutSecretValue(t.Context(), &awssecrets.PutSecretValueInput{SecretId: aws.String(clientSecret), SecretString: aws.String(broken)}))
			time.Sleep(time.Minute)
			err := y.launcher().Setup(t.Context())
			y.is(err, launcher.ErrInvalid, clientSecret, "is not as Setup writes it")
			fmt.Fprintf(&told, "%v\n%+v\n%s", err, err, y.told)
		})
	}
	if len(keys) == 0 || told.Len() == 0 {
		t.Fatalf("%d lines of keys, %d bytes told: nothing was looked for", len(keys), told.Len())
	}
	for _, k := range append(keys, "12345678901234567890123", "hush-hush", "PRIVATE KEY") {
		if strings.Contains(told.String(), k) {
			t.Errorf("%q was told", k)
		}
	}
}

// The policies have exactly the actions that are called, and those that AWS
// documents to come with them.
func TestPoliciesAreTheLeast(t *testing.T) {
	actionsOf := func(document string) (actions []string) {
		t.Helper()
		var p struct {
			Statement []struct{ Action []string }
		}
		if err := json.Unmarshal([]byte(document), &p); err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Statement {
			actions = append(actions, s.Action...)
		}
		slices.Sort(actions)
		return slices.Compact(actions)
	}
	called := func(cloud *fakeaws.Cloud, from int, others ...string) []string {
		for _, c := range cloud.Calls()[from:] {
			if !strings.HasPrefix(c.Action, "registry:") {
				others = append(others, c.Action)
			}
		}
		slices.Sort(others)
		return slices.Compact(others)
	}
	same := func(t *testing.T, got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("the policy allows\n%s\ncalled are\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	var y *yard
	bubble(t, func(t *testing.T) {
		y = newYard(t, slow())
		y.must(y.launcher().Setup(t.Context()))
		y.cfg.Access = []string{"10.2.0.0/16"} // the other is revoked
		y.must2(awssecrets.NewFromConfig(y.cloud.Config()).DeleteSecret(t.Context(), &awssecrets.DeleteSecretInput{SecretId: aws.String(clientSecret)}))
		y.must(y.launcher().Setup(t.Context()))
		y.must(y.launcher().RotateKeys(t.Context()))
		y.must(y.launcher().Teardown(t.Context()))
		// UpdateAssumeRolePolicy repairs a role; the others are what AWS wants
		// for tags at creation and for a role to be given away.
		want := called(y.cloud, 0, "iam:UpdateAssumeRolePolicy", "iam:PassRole", "iam:TagRole", "iam:TagInstanceProfile",
			"ec2:CreateTags", "secretsmanager:TagResource", "logs:TagResource")
		same(t, actionsOf(y.launcher().Policy().Setup), want)
	})
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		from := len(w.cloud.Calls())
		w.run(w.onSpot("a"))
		time.Sleep(time.Minute) // it is asked whether AWS takes the host back
		if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		// The keys are read by the way to real engines.
		same(t, actionsOf(w.fleet.Policy().Launcher), called(w.cloud, from, "iam:PassRole", "ec2:CreateTags", "secretsmanager:GetSecretValue"))
	})
	bubble(t, func(t *testing.T) {
		y = newYard(t, slow())
		y.cfg.Subnets = []string{"subnet-0123456789abcdef0", "subnet-0123456789abcdef1"} // whatever the account has
		p := y.launcher().Policy()
		golden(t, "policy-launcher.json", p.Launcher+"\n")
		golden(t, "policy-setup.json", p.Setup+"\n")
		golden(t, "policy-host.json", p.Host+"\n")
		if len(y.cloud.Calls()) != 0 {
			t.Error("Policy calls AWS")
		}
	})
}
