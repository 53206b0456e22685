package workbench_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/workbench"
)

type act func(*yard) error

func deployAct(change func(*workbench.DeployRequest)) act {
	return func(y *yard) error {
		q := y.request()
		if change != nil {
			change(&q)
		}
		_, err := y.client().Deploy(y.Context(), q)
		return err
	}
}

func restartAct(y *yard) error { return y.client().Restart(y.Context()) }
func replaceAct(y *yard) error { return y.client().Replace(y.Context()) }
func removeAct(y *yard) error {
	return y.client().Remove(y.Context(), workbench.RemoveRequest{})
}

func removeAllAct(y *yard) error {
	d, err := y.client().Describe(y.Context())
	if errors.Is(err, domain.ErrNotFound) {
		return nil // it has ended
	}
	if err != nil {
		return err
	}
	return y.client().Remove(y.Context(), workbench.RemoveRequest{DeleteVolume: d.Volume})
}

// removeAndDeploy shows that Remove leaves nothing that Deploy does not take up.
func removeAndDeploy(y *yard) error {
	return errors.Join(removeAct(y), deployAct(nil)(y))
}

func otherFiles(q *workbench.DeployRequest) {
	q.Files = q.Files[:1]
	q.Policies = map[string]string{"other": q.Policies["plugin"]}
	q.Access = []string{"10.1.0.0/16"}
}

// The stories that crashes interrupt: what was called before, the call, and what
// is called then: the same, unless it is something else.
var stories = map[string]struct {
	before []act
	call   act
	then   act
}{
	"Deploy":                 {nil, deployAct(nil), nil},
	"Deploy then Remove":     {nil, deployAct(nil), removeAndDeploy},
	"Deploy with others":     {[]act{deployAct(nil)}, deployAct(otherFiles), nil},
	"Restart":                {[]act{deployAct(nil), deployAct(otherFiles)}, restartAct, nil},
	"Replace":                {[]act{deployAct(nil)}, replaceAct, nil},
	"Replace then Deploy":    {[]act{deployAct(nil)}, replaceAct, deployAct(nil)},
	"Replace then Remove":    {[]act{deployAct(nil)}, replaceAct, removeAndDeploy},
	"Remove":                 {[]act{deployAct(nil)}, removeAct, nil},
	"Remove with the volume": {[]act{deployAct(nil)}, removeAllAct, nil},
	"EnsureKeys":             {nil, keysAct, nil},
	"EnsureKeys once more":   {[]act{deployAct(nil), keysAct, removeAllAct}, keysAct, nil},
	"Remove with the keys":   {[]act{deployAct(nil), keysAct}, removeAllAct, nil},
	"Deploy after Remove":    {[]act{deployAct(nil), removeAct}, deployAct(nil), nil},
}

// A process that dies at any call of AWS, before or after it took effect, leaves
// what a second call completes: one host, one disk, one interface, nothing
// besides; and there are never two instances.
func TestCrashesAtEveryCall(t *testing.T) {
	for story, s := range stories {
		then := s.then
		if then == nil {
			then = s.call
		}
		tell := func(y *yard) int {
			for _, a := range s.before {
				y.must(a(y))
				time.Sleep(2 * time.Minute)
			}
			return len(y.cloud.Calls())
		}
		var calls []fakeaws.Call
		var want string
		t.Run(story+"/undisturbed", func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				y := newYard(t, slow())
				from := tell(y)
				y.must(s.call(y))
				calls = y.cloud.Calls()[from:]
				if s.then != nil {
					y.must(s.then(y))
				}
				want = y.inventory()
			})
		})
		if len(calls) < 2 {
			t.Fatalf("%s makes %d calls only", story, len(calls))
		}
		seen := map[fakeaws.Fault]bool{}
		for _, c := range calls {
			for _, after := range []bool{false, true} {
				fault := fakeaws.Fault{Action: c.Action, Subject: c.Subject, Nth: c.Nth, Crash: true, After: after}
				_, name, _ := strings.Cut(c.Action, ":")
				reads := strings.HasPrefix(name, "Describe") || strings.HasPrefix(name, "Get")
				if seen[fault] || reads && after { // what changes nothing has no after
					continue
				}
				seen[fault] = true
				t.Run(fmt.Sprintf("%s/%s/%.12s/%d/after=%t", story, c.Action, strings.ReplaceAll(c.Subject, "/", "."), c.Nth, after), func(t *testing.T) {
					t.Parallel()
					bubble(t, func(t *testing.T) {
						y := newYard(t, slow(fault))
						tell(y)
						if err := s.call(y); !errors.Is(err, fakeaws.ErrCrashed) {
							t.Fatalf("%v; want a crash", err)
						}
						if live := y.live(); len(live) > 1 {
							t.Errorf("after the crash there are %q", live)
						}
						y.must(then(y))
						if got := y.inventory(); got != want {
							t.Errorf("got\n%s\nwant\n%s", got, want)
						}
						y.neverTwo()
					})
				})
			}
		}
	}
}

// neverTwo checks by the account's journal that no instance was launched while
// another was there.
func (y *yard) neverTwo() {
	y.Helper()
	for _, c := range y.cloud.Calls() {
		if c.Action == "ec2:RunInstances" && c.Code == "InvalidNetworkInterface.InUse" {
			y.Error("an instance was asked for while another had the interface")
		}
		if c.Action == "ec2:AttachVolume" && c.Code == "VolumeInUse" {
			y.Error("the disk was to be attached while another had it")
		}
	}
	if n := len(y.live()); n > 1 {
		y.Errorf("there are %d instances", n)
	}
}
