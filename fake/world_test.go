package fake_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
)

// TestConfigProblems: everything wrong is told at once and before time passes.
func TestConfigProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		_, _, err := fake.Start(t.Context(), fake.Config{
			Domain:   "Research Group",
			Users:    map[string][]string{"Dr. Alice": nil, "bob": {"Staff", "x", "x"}, "carol": nil, "9eve": nil},
			Images:   map[string]fakelauncher.Program{"R Studio": fake.IDE, "rstudio": fake.IDE, "IDE": fake.IDE},
			Policy:   domain.Policy{Types: []string{"t33.*"}},
			Groups:   map[string]domain.Policy{"Guests": {}, "students": {Sharing: "some"}},
			Fleet:    func(_ *fake.World, c *ec2launcher.Config) { c.AMI = "debian" },
			Sessions: session.Config{Deadlines: session.Deadlines{Starting: -time.Second}},
			AWS:      fakeaws.Config{Region: "nowhere", Delays: fakeaws.Realistic()},
		})
		if !errors.Is(err, domain.ErrInvalid) {
			t.Fatalf("%v, want ErrInvalid", err)
		}
		for _, want := range []string{
			`region "nowhere"`, `domain "Research Group" has`, `"t33.*"`, `group "Guests"`, `sharing "some"`, `user "Dr. Alice"`,
			`user "9eve"`, `group "Staff"`, `group "x" is listed twice`, `image "R Studio"`, `image "IDE"`,
			`AMI "debian"`, "deadline Starting is -1s",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\ndoes not mention %s", err, want)
			}
		}
		for _, fine := range []string{"carol", `"rstudio"`} {
			if strings.Contains(err.Error(), fine) {
				t.Errorf("%v\nfinds fault with %s", err, fine)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

// TestGroups: the policies of groups hold for who is in them.
func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.New(t, fake.Config{
			Users:  map[string][]string{"alice": nil, "carol": {"students"}},
			Groups: map[string]domain.Policy{"students": {Types: []string{"t3.*"}}},
		})
		for user, want := range map[string]int{"alice": http.StatusOK, "carol": http.StatusForbidden} {
			_, err := w.Sessions.Start(t.Context(), session.StartRequest{ID: session.ID(user), User: user, InstanceType: "r5.large"})
			if got := session.StatusCode(err); got != want {
				t.Errorf("%s: status %d, want %d: %v", user, got, want, err)
			}
		}
	})
}
