package sagemakerdomain_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

type story struct {
	before func(*world) string
	call   func(*world, string) error
}

// stories are what a crash interrupts at every call: what was before, by the id of the
// domain it is about, and the call, which is made again after.
var stories = map[string]story{
	"CreateDomain": {
		before: func(*world) string { return "" },
		call: func(w *world, _ string) error {
			_, err := w.client().CreateDomain(w.Context(), w.request())
			return err
		},
	},
	"UpdateDomain": {
		before: func(w *world) string { id := w.busy(); return id },
		call: func(w *world, id string) error {
			_, err := w.client().UpdateDomain(w.Context(), sagemakerdomain.UpdateDomainRequest{Domain: id, WorkbenchInstance: "ml.c5.4xlarge", EndApps: true})
			return err
		},
	},
	"UpdateDomain enables RStudio": {
		before: func(w *world) string { id := w.raw(bare); w.inService(id); return id },
		call: func(w *world, id string) error {
			_, err := w.client().UpdateDomain(w.Context(), sagemakerdomain.UpdateDomainRequest{
				Domain: id, EnableRStudio: &sagemakerdomain.EnableRStudio{DomainExecutionRole: serverRole}, EndApps: true,
			})
			return err
		},
	},
	"DeleteDomain": {
		before: (*world).busy,
		call: func(w *world, id string) error {
			return w.client().DeleteDomain(w.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id})
		},
	},
	"DeleteDomain without mount targets": {
		before: (*world).busy,
		call: func(w *world, id string) error {
			return w.client().DeleteDomain(w.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id, DeleteMountTargetsOf: w.home})
		},
	},
	"DeleteDomain with the file system": {
		before: (*world).busy,
		call: func(w *world, id string) error {
			return w.client().DeleteDomain(w.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id, DeleteFileSystem: w.home})
		},
	},
	"CreateProfile": {
		before: func(w *world) string {
			id := w.raw(ours)
			w.inService(id)
			time.Sleep(5 * time.Second)
			return id
		},
		call: func(w *world, id string) error {
			_, err := w.client().CreateProfile(w.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "alice", Access: sagemakerdomain.AccessAdmin})
			return err
		},
	},
	"AttachImage": {
		before: func(w *world) string { id := w.busy(); w.rawImage("r-session"); return id },
		call: func(w *world, id string) error {
			_, err := w.client().AttachImage(w.Context(), sagemakerdomain.AttachRequest{Domain: id, Image: "r-session", Restart: true, EndSessions: true})
			return err
		},
	},
}

// busy makes a domain with what can be in one: sessions of RStudio, an app in a space, one that
// has failed, two profiles. It returns its id.
func (w *world) busy() string {
	w.Helper()
	id := w.raw(ours)
	w.inService(id)
	time.Sleep(5 * time.Second) // what was just made may be invisible
	d, err := w.client().Describe(w.Context(), id)
	w.must(err)
	w.home = d.FileSystem
	w.profile(d.ID, "alice")
	w.profile(d.ID, "bob")
	w.space(d.ID, "alice", "lab", types.AppTypeJupyterLab)
	w.session(d.ID, "alice")
	_, err = w.client().StartApp(w.Context(), sagemakerdomain.StartAppRequest{
		AppID: sagemakerdomain.AppID{Domain: d.ID, Space: "lab", Type: sagemakerdomain.JupyterLab, Name: "default"},
	})
	w.must(err)
	_, err = w.client().StartApp(w.Context(), sagemakerdomain.StartAppRequest{
		AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: "bob", Type: sagemakerdomain.StudioClassic, Name: "default"},
	})
	if err == nil {
		w.Fatal("the app of bob was to fail")
	}
	return d.ID
}

// failing lets the app of bob fail.
var failing = fakeaws.Fault{Action: "sagemaker:CreateApp", Subject: "bob/JupyterServer/default", Reason: "the container did not start"}

// A process that dies at any call of AWS, before or after it took effect, leaves what a
// second call completes: the same as if nothing had happened.
func TestCrashesAtEveryCall(t *testing.T) {
	for story, s := range stories {
		var calls []fakeaws.Call
		var want []string
		t.Run(story+"/undisturbed", func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, slow(failing))
				id := s.before(w)
				before, from := w.inventory(), len(w.cloud.Calls())
				w.must(s.call(w, id))
				calls = w.cloud.Calls()[from:]
				want = w.ended(story, id, before)
			})
		})
		if calls == nil {
			continue // it was not asked for
		}
		if len(calls) < 2 {
			t.Fatalf("%s makes %d calls only", story, len(calls))
		}
		seen := map[fakeaws.Fault]bool{}
		for _, c := range calls {
			for _, after := range []bool{false, true} {
				fault := fakeaws.Fault{Action: c.Action, Subject: c.Subject, Nth: c.Nth, Crash: true, After: after}
				_, name, _ := strings.Cut(c.Action, ":")
				reads := strings.HasPrefix(name, "Describe") || strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List")
				if seen[fault] || reads && after || reads && c.Nth%10 != 1 && testing.Short() {
					continue
				}
				seen[fault] = true
				t.Run(fmt.Sprintf("%s/%s/%.40s/%d/after=%t", story, c.Action, strings.ReplaceAll(c.Subject, "/", "."), c.Nth, after), func(t *testing.T) {
					t.Parallel()
					bubble(t, func(t *testing.T) {
						w := newWorld(t, slow(failing, fault))
						id := s.before(w)
						before := w.inventory()
						if err := s.call(w, id); !errors.Is(err, fakeaws.ErrCrashed) {
							t.Fatalf("%v; want a crash", err)
						}
						time.Sleep(5 * time.Second) // a process is not started again at once
						err := s.call(w, id)
						for errors.Is(err, fakeaws.ErrCrashed) { // a fault without a subject strikes the first of each
							err = s.call(w, id)
						}
						w.must(err)
						if diff := cmp.Diff(want, w.ended(story, id, before)); diff != "" {
							t.Errorf("it ends otherwise than undisturbed (-want +got):\n%s", diff)
						}
					})
				})
			}
		}
	}
}

// ended says what has become of the account, which had an inventory before, and checks what
// every story promises.
func (w *world) ended(story, id string, before map[string]string) []string {
	w.Helper()
	time.Sleep(5 * time.Minute)
	all := w.inventory()
	if strings.HasPrefix(story, "DeleteDomain") {
		for what, text := range all {
			if strings.Contains(what+text, id) && what != w.home && !strings.HasPrefix(what, "fsmt-") && !strings.HasPrefix(what, "fsap-") &&
				(story != "DeleteDomain" || !strings.Contains(text, "security-group-for-inbound-nfs-")) {
				w.Errorf("there is still %s: %s", what, text)
			}
		}
		if _, kept := all[w.home]; kept == strings.HasSuffix(story, "file system") {
			w.Errorf("the file system is kept: %t", kept)
		}
	} else if id != "" {
		d, err := w.client().Describe(w.Context(), id)
		w.must(err)
		if d.RestartDue {
			w.Error("the server is still to be made again")
		}
		if s := w.status(sagemakerdomain.AppID{Domain: id, Profile: "domain-shared", Type: sagemakerdomain.RStudioServer, Name: "default"}); s != "InService" {
			w.Errorf("the server is %s", s)
		}
	}
	return alike(before, all)
}

var (
	// instants are times as an inventory has them.
	instants = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`)
	// intents are what tells one change of a server's settings from the next.
	intents = regexp.MustCompile(`("atelier:rstudio-restart-due":)"[^"]*"`)
	// drawn is what is drawn by lot for a network interface or a mount target: its address, and
	// for an app's also the subnet; grouped are its groups, in the order of their ids.
	drawn   = regexp.MustCompile(`eni-attach-[0-9a-f]+| - [0-9a-f]+|(/new domain|/d-[0-9a-z]+)/[0-9a-f]+/|"(Private)?IpAddress":"[0-9.]+"|"NetworkInterfaceId":"eni-[0-9a-f]+"`)
	placed  = regexp.MustCompile(`"(AvailabilityZone|SubnetId)":"[^"]*"`)
	grouped = regexp.MustCompile(`"Groups":\[[^]]*\]`)
)

// alike is a whole inventory, a line for each resource, that is the same in every run that
// comes to the same: what has come since an inventory before has no ids of its own, which
// depend on the calls there were, and nothing that is drawn by lot; nothing has instants or intents.
func alike(before, after map[string]string) (lines []string) {
	var pairs []string
	for id := range after {
		if _, old := before[id]; old {
			continue
		}
		kind, _, _ := strings.Cut(id, "-")
		if i := strings.LastIndex(id, ":"); i >= 0 {
			kind, _, _ = strings.Cut(id[i+1:], "/")
		}
		pairs = append(pairs, id, "new "+kind)
		if _, short, ok := strings.Cut(id, ":domain/"); ok {
			pairs = append(pairs, short, "new domain")
		}
	}
	names := strings.NewReplacer(pairs...)
	for id, text := range after {
		line := names.Replace(id + " " + intents.ReplaceAllString(instants.ReplaceAllString(text, `"then"`), `$1"drawn"`))
		if strings.HasPrefix(line, "new eni ") || strings.HasPrefix(line, "new fsmt ") {
			line = drawn.ReplaceAllString(line, "drawn")
		}
		if strings.HasPrefix(line, "new eni ") {
			line = grouped.ReplaceAllStringFunc(placed.ReplaceAllString(line, "placed"), func(groups string) string {
				list := strings.Split(strings.TrimSuffix(strings.TrimPrefix(groups, `"Groups":[{`), `}]`), "},{")
				slices.Sort(list)
				return strings.Join(list, " and ")
			})
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}
