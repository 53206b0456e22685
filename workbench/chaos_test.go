package workbench_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/workbench"
)

// An account in which a third of all changes fail, before or after they took
// effect, and machines die: whoever calls again and again gets there, there is
// never more than one host, its address and data stay, and in the end nothing is
// left.
func TestChaos(t *testing.T) {
	seeds := uint64(16)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				c := slow()
				c.Seed = seed
				for _, action := range []string{
					"ec2:*Network*", "ec2:*Volume*", "ec2:*Instances", "iam:*", "secretsmanager:*", "ssm:*", // not what makes the domain
				} {
					c.Faults = append(c.Faults, fakeaws.Fault{Action: action, Rate: 0.17}, fakeaws.Fault{Action: action, Rate: 0.17, After: true})
				}
				y := newYard(t, c)
				dice := rand.New(rand.NewPCG(seed, 1))
				bare := y.inventory()
				address, volume := "", ""
				for n := range 12 {
					var op act
					switch name := []string{"deploy", "other", "replace", "restart", "crash", "impair"}[dice.IntN(6)]; {
					case n == 0 || name == "deploy":
						op = deployAct(nil)
					case name == "other":
						op = deployAct(otherFiles)
					case name == "replace":
						op = replaceAct
					case name == "restart":
						op = restartAct
					default:
						if d, err := y.client().Describe(t.Context()); err == nil && d.Instance != "" {
							y.must(map[string]func(string) error{"crash": y.cloud.CrashHost, "impair": y.cloud.Impair}[name](d.Instance))
						}
						op = replaceAct
					}
					y.insist(op)
					d, err := y.described()
					y.must(err)
					if live := y.live(); len(live) != 1 {
						t.Fatalf("after step %d there are %q", n, live)
					}
					if address == "" {
						address, volume = d.Address, d.Volume
					}
					if d.Address != address || d.Volume != volume || d.State != "running" {
						t.Fatalf("after step %d it is %+v, want the address %s and the disk %s", n, d, address, volume)
					}
				}
				if y.cloud.Injected() < 20 {
					t.Errorf("%d faults only", y.cloud.Injected())
				}
				y.insist(func(y *yard) error { return y.client().Remove(t.Context(), workbench.RemoveRequest{}) })
				y.insist(func(y *yard) error {
					return y.client().Remove(t.Context(), workbench.RemoveRequest{DeleteVolume: volume})
				})
				if got := y.inventory(); got != bare {
					t.Errorf("left is\n%s\nwant\n%s", got, bare)
				}
			})
		})
	}
}

// described is Describe, tried until it succeeds.
func (y *yard) described() (d workbench.Description, err error) {
	for range 50 {
		if d, err = y.client().Describe(y.Context()); err == nil {
			return d, nil
		}
		time.Sleep(10 * time.Second)
	}
	return d, err
}

// insist calls until it succeeds, as its errors say.
func (y *yard) insist(op act) {
	y.Helper()
	var err error
	for range 200 {
		if err = op(y); err == nil {
			return
		}
		if !errors.Is(err, domain.ErrUnavailable) && !errors.Is(err, domain.ErrThrottled) && !errors.Is(err, domain.ErrState) {
			y.Fatalf("an error that says something else than to call again: %v", err)
		}
		if errors.Is(err, domain.ErrState) { // what was begun comes first
			if again := deployAct(nil)(y); again != nil {
				err = again
			}
		}
		time.Sleep(10 * time.Second)
	}
	y.Fatalf("it does not succeed: %v", err)
}
