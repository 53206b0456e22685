package fakeaws

import (
	"errors"
	"fmt"
	"time"
)

// InstanceDelays returns [Config.Delays] as the n-th instance of a type has them,
// from 1 and in the order in which the account made them: those from its launch
// to a program that runs there, each its own within [Config.Spread]. It depends on
// the seed alone, so that who reckons with the account's fastest answer knows it.
func (c Config) InstanceDelays(instanceType string, n int) Delays {
	return c.Delays.drawn(c.Seed, c.Spread, instanceType, n)
}

func (d Delays) drawn(seed uint64, spread float64, instanceType string, n int) Delays {
	for name, delay := range map[string]*time.Duration{
		"running": &d.InstanceRunning, "ready": &d.HostReady, "gone": &d.InstanceGone, "pull": &d.Pull, "start": &d.ContainerStart,
	} {
		by := spread * (2*share(hashOf(seed, "draw", name, instanceType, n)) - 1)
		*delay = time.Duration(float64(*delay) * (1 + by)).Truncate(time.Millisecond)
	}
	return d
}

// stillborn reports whether the n-th instance of a type is one whose engine never
// answers.
func (c *Cloud) stillborn(instanceType string, n int) bool {
	return share(c.hash("stillborn", instanceType, n)) < c.duds
}

func checkShares(cfg Config) error {
	var problems []error
	if cfg.Spread < 0 || cfg.Spread >= 1 {
		problems = append(problems, fmt.Errorf("spread is %v: want a share from 0 to less than 1", cfg.Spread))
	}
	if cfg.Stillborn < 0 || cfg.Stillborn > 1 {
		problems = append(problems, fmt.Errorf("stillborn is %v: want a share from 0 to 1", cfg.Stillborn))
	}
	return errors.Join(problems...)
}
