package sagemakerdomain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
)

// TestAdoptMadeAnew: with the records lost, a name is not another person's either, whose profile was
// made anew; and what Drift says about the home that is left is true.
func TestAdoptMadeAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		w.profile(source.ID, "ada")
		bob := w.profile(source.ID, "bob")
		c, q := w.client(), sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}
		_, err := c.Adopt(t.Context(), w.domains(store.NewMemory()), q)
		w.must(err)
		w.must(c.DeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: source.ID, Name: "bob"}))
		anew := w.profile(source.ID, "bob")

		to := w.domains(store.NewMemory())
		would, err := c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		want := fmt.Sprintf("stays: user bob (profile bob has uid %d and the home /%d, and the user here has uid %d and /%d: the profile was made anew, or another uid was given here; "+
			"it is left out: name a user for it, as AdoptRequest.Users: {\"bob\": \"bob2\"})", anew.UID, anew.UID, bob.UID, bob.UID)
		if got := lines(would); !strings.Contains(got, want) || strings.Contains(got, "makes: user bob") {
			t.Errorf("it says\n%s\nwant %q", got, want)
		}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		if got := userNames(t, d); got != "ada" {
			t.Errorf("users are %s", got)
		}
		drift, err := d.Drift(t.Context())
		w.must(err)
		if len(drift) != 1 || !strings.Contains(drift[0].Repair, fmt.Sprintf("if uid %d is the user's, Onboard them with it", bob.UID)) {
			t.Errorf("drift is %v", drift)
		}
		q.Users = map[string]string{"bob": "robert"}
		_, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if u, err := d.User(t.Context(), "robert"); err != nil || u.UID != anew.UID {
			t.Errorf("%+v, %v", u, err)
		}
		_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "bob", UID: bob.UID}) // as Drift says
		w.must(err)
		if drift, err := d.Drift(t.Context()); err != nil || len(drift) > 0 {
			t.Errorf("drift is %v, %v", drift, err)
		}
	})
	// Who has the name all the same is told that the home that is left is not for them.
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		bob := w.profile(source.ID, "bob")
		c, q := w.client(), sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}
		_, err := c.Adopt(t.Context(), w.domains(store.NewMemory()), q)
		w.must(err)
		w.must(c.DeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: source.ID, Name: "bob"}))
		anew := w.profile(source.ID, "bob")
		d, err := c.Adopt(t.Context(), w.domains(store.NewMemory()), q)
		w.must(err)
		_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "bob", UID: anew.UID})
		w.must(err)
		drift, err := d.Drift(t.Context())
		w.must(err)
		if len(drift) != 1 || !strings.Contains(drift[0].Repair, fmt.Sprintf("user bob has uid %d and another home, and Onboard does not give them this one", anew.UID)) {
			t.Errorf("drift is %v", drift)
		}
		_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "bob", UID: bob.UID})
		w.is(err, domain.ErrConflict)
		if differences, err := c.Diff(t.Context(), d); err != nil || len(differences) > 0 {
			t.Errorf("they differ: %v, %v", differences, err)
		}
	})
}

// TestAdoptNames: mistakes in the names of a request are told all at once, and what names nothing
// is a line.
func TestAdoptNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		for _, name := range []string{"Ada", "bob", "carol"} {
			w.profile(source.ID, name)
		}
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{
			ID: source.ID, Name: "research",
			Users:  map[string]string{"Ada": "one", "ADA": "two", "bob": "BOB", "carol": "root", "x": "same", "y": "same", "long\nname": "dave"},
			Images: map[string]string{"a": "one", "A": "two", "b": "B/", "nope": "x"},
		}
		would, err := c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		wants := []string{
			"blocks: user profile Ada (Users has it as ADA, too, whose case does not matter: leave one out)",
			`blocks: user profile bob (Users: user "BOB" has`,
			"blocks: user profile carol (Users: user root has no other login: login root",
			"blocks: user profile y (Users has x and y as one user, same: give each another name)",
			"blocks: image a (Images has it as A, too, whose case does not matter: leave one out)",
			`blocks: image b (Images: image "B/" has`,
		}
		for _, want := range wants {
			if !strings.Contains(lines(would, domain.Blocks), want) {
				t.Errorf("it does not say %q:\n%s", want, lines(would))
			}
		}
		if got := strings.Count(lines(would, domain.Blocks), "\n") + 1; got != len(wants) {
			t.Errorf("%d lines block, want %d:\n%s", got, len(wants), lines(would))
		}
		for _, want := range []string{
			`stays: user profile "long\nname" (SageMaker has none of this name, which Users names: it is spelt wrong, or gone)`,
			"stays: image nope (SageMaker has none of this name, which Images names: it is spelt wrong, or gone)",
		} {
			if !strings.Contains(lines(would, domain.Stays), want) {
				t.Errorf("it does not say %q:\n%s", want, lines(would))
			}
		}
		_, err = c.Adopt(t.Context(), to, q)
		w.is(err, domain.ErrInvalid, "leave one out", `"BOB"`, "root", "x and y", `"B/"`)

		// All at once also where there is nothing to look at.
		q = sagemakerdomain.AdoptRequest{Users: map[string]string{"bob": "BOB"}}
		_, err = c.Adopt(t.Context(), nil, q)
		w.is(err, domain.ErrInvalid, "want its id", "client of domains is nil", `domain "" `, `"BOB"`)
		_, err = c.Diff(t.Context(), nil)
		w.is(err, domain.ErrInvalid, "the domain is nil")
	})
}

// TestAdoptNotHeeded: what a request says of a domain that exists, and does not change, is a line.
func TestAdoptNotHeeded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		ada := w.profile(source.ID, "ada")
		w.imageOf("session", "1")
		_, err := w.client().AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: source.ID, Image: "session"})
		w.must(err)
		c, records := w.client(), store.NewMemory()
		to := w.domains(records)
		q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research", Policy: domain.Policy{Sessions: 3, Images: []string{"session", "other"}}}
		_, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		said := func(to *domain.Client, q sagemakerdomain.AdoptRequest) string {
			would, err := c.PreviewAdopt(t.Context(), to, q)
			w.must(err)
			var found []string
			for line := range strings.SplitSeq(lines(would), "\n") {
				if strings.Contains(line, "heeded") {
					found = append(found, line)
				}
			}
			return strings.Join(found, "\n")
		}
		if got := said(to, q); got != "" {
			t.Errorf("of the same request it says %s", got)
		}
		q.Policy.Sessions, q.Users, q.Images = 4, map[string]string{"ADA": "lovelace"}, map[string]string{"session": "other"}
		user := fmt.Sprintf("stays: user ada (is the user that has uid %d of profile ada, and lovelace, which Users has for it, is not heeded: a user's name is for good)", ada.UID)
		want := "stays: policy research (the domain's stays as it is, and Policy, which is another, is not heeded: change it by Domain.SetPolicy)\n" +
			"stays: image session (session is attached by this name already, and other, which Images has for it, is not heeded: Attach it by that, too, if it is meant)\n" + user
		if got := said(to, q); got != want {
			t.Errorf("it says\n%s\nwant\n%s", got, want)
		}
		if got := said(w.domains(store.NewMemory()), q); got != user {
			t.Errorf("with the records lost it says\n%s\nwant\n%s", got, user)
		}
		q.Users = map[string]string{"ada": "ADA"} // who is for that not taken for gone
		if would, err := c.PreviewAdopt(t.Context(), to, q); err != nil || lines(would, domain.Ends) != "" || lines(would, domain.Blocks) == "" {
			t.Errorf("it says\n%s, %v", lines(would), err)
		}
		q.Policy = domain.Policy{}
		q.Users, q.Images = nil, nil
		if got := said(to, q); got != "" {
			t.Errorf("of nothing it says %s", got)
		}
	})
}

// TestAdoptAccess: who has no access to RStudio there gets none by being adopted, and who has it
// here already is told of; where there is no RStudio, nobody was refused it.
func TestAdoptAccess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		w.profile(source.ID, "ada")
		off, err := w.client().CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: source.ID, Name: "off", Access: sagemakerdomain.AccessOff})
		w.must(err)
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}
		const out = "stays: user off (profile off has no access to RStudio: it is left out; name it in AdoptRequest.Include, if they are to have sessions here)"
		would, err := c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		if got := lines(would); !strings.Contains(got, out) || strings.Contains(got, "makes: user off") {
			t.Errorf("it says\n%s", got)
		}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		if got := userNames(t, d); got != "ada" {
			t.Errorf("users are %s", got)
		}
		differ := func(want string) {
			t.Helper()
			_, err := c.Adopt(t.Context(), to, q)
			w.must(err)
			differences, err := c.Diff(t.Context(), d)
			w.must(err)
			if got := lines(differences); got != want {
				t.Errorf("they differ by\n%s\nwant\n%s", got, want)
			}
		}
		differ(out)
		_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "off", UID: off.UID})
		w.must(err)
		differ("stays: user off (has no access to RStudio there, by profile off, and is a user here: offboard them, with Domain.Offboard, if that is not meant)")
		if got := userNames(t, d); got != "ada, off" {
			t.Errorf("users are %s", got)
		}
		w.must(d.Offboard(t.Context(), "off"))
		differ("")
	})
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		id := w.raw(bare)
		w.inService(id)
		time.Sleep(5 * time.Second)
		w.profile(id, "ada")
		d, err := w.client().Adopt(t.Context(), w.domains(store.NewMemory()), sagemakerdomain.AdoptRequest{ID: id, Name: "research"})
		w.must(err)
		if got := userNames(t, d); got != "ada" {
			t.Errorf("without RStudio users are %q", got)
		}
	})
}

// TestAdoptInclude: who has no access to RStudio becomes a user by being named, with the uid of the
// profile, and stays one; whom nobody has is a line.
func TestAdoptInclude(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		w.profile(source.ID, "ada")
		off := map[string]sagemakerdomain.Profile{}
		for _, name := range []string{"Off", "other"} {
			p, err := w.client().CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: source.ID, Name: name, Access: sagemakerdomain.AccessOff})
			w.must(err)
			off[name] = p
		}
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research", Include: []string{"oFF", "ADA", "nobody", "two\nlines"}}
		would, err := c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		for _, want := range []string{
			fmt.Sprintf("makes: user off (with uid %d, profile Off)", off["Off"].UID), fmt.Sprintf("makes: access point /%d (of the home of off, entered as %[1]d)", off["Off"].UID),
			"stays: user other (profile other has no access to RStudio: it is left out; name it in AdoptRequest.Include",
			"stays: user profile nobody (SageMaker has none of this name, which Include names: it is spelt wrong, or gone)",
			`stays: user profile "two\nlines" (SageMaker has none of this name, which Include names`,
		} {
			if !strings.Contains(lines(would), want) {
				t.Errorf("it does not say %q:\n%s", want, lines(would))
			}
		}
		if got := strings.Count(lines(would), "Include names"); got != 2 {
			t.Errorf("%d names of Include are not there:\n%s", got, lines(would))
		}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		for range 2 { // the second time without being named
			if got := userNames(t, d); got != "ada, off" {
				t.Errorf("users are %s", got)
			}
			if u, err := d.User(t.Context(), "off"); err != nil || u.UID != off["Off"].UID {
				t.Errorf("%+v, %v", u, err)
			}
			q.Include = nil
			d, err = c.Adopt(t.Context(), to, q)
			w.must(err)
		}
		q.Include = []string{"off"}
		would, err = c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		if got := lines(would); !strings.Contains(got, fmt.Sprintf("stays: user off (with uid %d, profile Off)", off["Off"].UID)) {
			t.Errorf("it says\n%s", got)
		}
		// Who was offboarded here stays so.
		w.must(d.Offboard(t.Context(), "off"))
		d, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if got := userNames(t, d); got != "ada" {
			t.Errorf("users are %s", got)
		}
	})
}

// TestAdoptAnotherUID: a user who was given another uid than the profile's is told of as that, and the
// name that is proposed for the profile's is nobody's.
func TestAdoptAnotherUID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		off, err := w.client().CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: source.ID, Name: "off1", Access: sagemakerdomain.AccessOff})
		w.must(err)
		w.profile(source.ID, "off12")
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		const wrong = 200099
		_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "off1", UID: wrong})
		w.must(err)
		differences, err := c.Diff(t.Context(), d)
		w.must(err)
		want := fmt.Sprintf("ends: user off1 (no profile has their uid, %d; home and records stay)\n"+
			"stays: user off1 (profile off1 has uid %d and the home /%[2]d, and the user here has uid %[1]d and /%[1]d: the profile was made anew, or another uid was given here; "+
			"it is left out: name a user for it, as AdoptRequest.Users: {\"off1\": \"off13\"})", wrong, off.UID)
		if got := lines(differences); got != want {
			t.Errorf("they differ by\n%s\nwant\n%s", got, want)
		}
		q.Users, q.Include = map[string]string{"off1": "off13"}, []string{"off1"} // as it says
		d, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if u, err := d.User(t.Context(), "off13"); err != nil || u.UID != off.UID {
			t.Errorf("%+v, %v", u, err)
		}
		if got := userNames(t, d); got != "off12, off13" {
			t.Errorf("users are %s", got)
		}
	})
}
