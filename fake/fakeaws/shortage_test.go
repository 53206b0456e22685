package fakeaws_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestShortage: what is sold out, where, in which market, and from when until when.
func TestShortage(t *testing.T) {
	const all = "abc"
	for name, c := range map[string]struct {
		shortage fakeaws.Shortage
		kind     types.InstanceType
		spot     bool
		want     [4]string // zones with capacity at 0, just before 1h, at 1h and at 2h
	}{
		"from the beginning": {fakeaws.Shortage{Type: "r5.*", Until: time.Hour}, "r5.large", false, [4]string{"", "", all, all}},
		"later":              {fakeaws.Shortage{Type: "r5.*", From: time.Hour, Until: 2 * time.Hour}, "r5.large", false, [4]string{all, all, "", all}},
		"for good":           {fakeaws.Shortage{Type: "r*.large", From: time.Hour}, "r5.large", true, [4]string{all, all, "", ""}},
		"everything":         {fakeaws.Shortage{Type: "*"}, "t3.medium", true, [4]string{}},
		"a zone":             {fakeaws.Shortage{Type: "r5.large", Zone: "us-east-1b", Until: time.Hour}, "r5.large", false, [4]string{"ac", "ac", all, all}},
		"another type":       {fakeaws.Shortage{Type: "r5.large"}, "r5.xlarge", false, [4]string{all, all, all, all}},
		"no part of a name":  {fakeaws.Shortage{Type: "r5.*"}, "r5a.large", false, [4]string{all, all, all, all}},
		"spot":               {fakeaws.Shortage{Type: "r5.*", Market: fakeaws.Spot, Until: time.Hour}, "r5.large", true, [4]string{"", "", all, all}},
		"spot alone":         {fakeaws.Shortage{Type: "r5.*", Market: fakeaws.Spot}, "r5.large", false, [4]string{all, all, all, all}},
		"on demand alone":    {fakeaws.Shortage{Type: "r5.*", Market: fakeaws.OnDemand}, "r5.large", true, [4]string{all, all, all, all}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				a := newAccount(t, fakeaws.Config{SoldOut: []fakeaws.Shortage{{Type: "m5.large"}, c.shortage}})
				n := 0
				for i, at := range []time.Duration{0, time.Hour - 1, time.Hour, 2 * time.Hour} {
					time.Sleep(time.Until(begun.Add(at)))
					got := ""
					for _, s := range a.Subnets() {
						n++
						in := a.launch(fmt.Sprint(n))
						if c.spot {
							in = a.spot(fmt.Sprint(n))
						}
						in.InstanceType, in.SubnetId = c.kind, aws.String(s.ID)
						switch _, err := a.once().RunInstances(t.Context(), in); code(err) {
						case "":
							got += s.Zone[len(s.Zone)-1:]
						case "InsufficientInstanceCapacity":
							if strings.Contains(err.Error(), "Spot capacity") != c.spot || !strings.Contains(err.Error(), "StatusCode: 500") {
								t.Error(err)
							}
						default:
							t.Error(err)
						}
					}
					if got != c.want[i] {
						t.Errorf("after %v there is capacity in the zones %q, want %q", at, got, c.want[i])
					}
				}
				for _, i := range a.listed(t) {
					if i.State.Name != types.InstanceStateNameRunning {
						t.Errorf("what ran is %s", i.State.Name)
					}
				}
			})
		})
	}
}

// TestShortageProblems: everything wrong is told at once, beside what else is.
func TestShortageProblems(t *testing.T) {
	_, err := fakeaws.New(fakeaws.Config{Spread: 1, SoldOut: []fakeaws.Shortage{
		{From: -time.Second, Market: "flea"}, {Type: "z99.*", Zone: "eu-west-1a"}, {Type: "r5.*", From: time.Hour, Until: time.Hour}, {Type: "r5.*"},
	}})
	for _, want := range []string{
		"spread is 1", `sold out 0: type is empty: want a pattern such as "r5.*" or "*"`, `market "flea": want "on-demand" or "spot", or none for both`, "from is negative: -1s",
		`sold out 1: type "z99.*" matches none`, `zone "eu-west-1a": want one of ["us-east-1a"`, "sold out 2: until is 1h0m0s: want more than 1h0m0s",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say\n%s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "sold out 3") {
		t.Errorf("%v\nfinds fault with the last", err)
	}
}
