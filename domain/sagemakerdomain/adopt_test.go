package sagemakerdomain_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
)

// domains is a client of ours on records.
func (w *world) domains(records store.Store) *domain.Client {
	w.Helper()
	c, err := domain.NewFromConfig(w.cloud.Config(), domain.Config{Store: records})
	w.must(err)
	return c
}

// differs is what of an inventory has come, gone and changed: ids by the kind of
// resource, as "+access point".
func differs(before, after map[string]string) string {
	count := map[string]int{}
	kind := func(id string) string {
		for prefix, kind := range map[string]string{"fsap-": "access point", "sg-": "security group"} {
			if strings.Contains(id, prefix) {
				return kind
			}
		}
		return id
	}
	for id, is := range after {
		switch was, there := before[id]; {
		case !there:
			count["+"+kind(id)]++
		case was != is:
			count["~"+kind(id)+" "+was+" -> "+is]++
		}
	}
	for id := range before {
		if _, there := after[id]; !there {
			count["-"+kind(id)]++
		}
	}
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(count)) {
		lines = append(lines, fmt.Sprintf("%s %d", k, count[k]))
	}
	return strings.Join(lines, ", ")
}

func lines(all []domain.Consequence, fates ...domain.Fate) string {
	var text []string
	for _, c := range all {
		if len(fates) == 0 || slices.Contains(fates, c.Fate) {
			text = append(text, c.String())
		}
	}
	return strings.Join(text, "\n")
}

// TestAdopt: a domain of ours over SageMaker's, with the same people and uids; of
// SageMaker's nothing changes, and what is made is what was listed.
func TestAdopt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		ada, bob := w.profile(source.ID, "Ada"), w.profile(source.ID, "bob")
		w.profile(source.ID, "somebody-whose-name-is-long")
		w.imageOf("R.Session", "1")
		_, err := w.client().AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: source.ID, Image: "R.Session"})
		w.must(err)
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}

		// What has no name of ours is left out.
		would, err := c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		if got := lines(would, domain.Stays); !strings.Contains(got, `stays: user somebody-whose-name-is-long (is left out: user "somebody-whose-name-is-long" has 27 characters`) ||
			!strings.Contains(got, `stays: image R.Session (is left out: image "r.session" has`) {
			t.Errorf("it leaves out %q", got)
		}
		q.Users = map[string]string{"somebody-whose-name-is-long": "somebody", "bob": "ada"}
		_, err = c.Adopt(t.Context(), to, q)
		w.is(err, domain.ErrState, "user ada: two profiles would be this user, bob is one of them")
		q.Users = map[string]string{"Somebody-whose-name-is-long": "somebody"}
		q.Images = map[string]string{"R.Session": "r-session"}

		before := w.inventory()
		would, err = c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		golden(t, "adopt.golden", replaced(lines(would)+"\n", w, source))
		if got := differs(before, w.inventory()); got != "" {
			t.Errorf("the preview changes %s", got)
		}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		if got := differs(before, w.inventory()); got != "+access point 3, +security group 1" {
			t.Errorf("adopting changes: %s", got)
		}
		for name, p := range map[string]sagemakerdomain.Profile{"ada": ada, "bob": bob} {
			u, err := d.User(t.Context(), name)
			w.must(err)
			if u.UID != p.UID || u.Home.Path != fmt.Sprintf("/%d", p.UID) || u.Home.FileSystem != source.FileSystem {
				t.Errorf("%s is %+v, the profile %+v", name, u, p)
			}
		}
		about, err := d.Describe(t.Context())
		w.must(err)
		groups, err := c.NFSGroups(t.Context(), source.ID)
		w.must(err)
		if want := []string{about.HostSecurityGroup, groups.Outbound}; !slices.Equal(about.HostSecurityGroups(), want) {
			t.Errorf("hosts are in %v, want %v", about.HostSecurityGroups(), want)
		}

		// Again, also with another policy: nothing. A new profile comes, one goes, one is made anew.
		after := w.inventory()
		w.must(d.SetPolicy(t.Context(), domain.Policy{Types: []string{"t3.*"}}))
		_, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if got := differs(after, w.inventory()); got != "" {
			t.Errorf("the second time it changes %s", got)
		}
		if differences, err := c.Diff(t.Context(), d); err != nil || len(differences) > 0 {
			t.Errorf("they differ: %v, %v", differences, err)
		}
		eve := w.profile(source.ID, "eve")
		w.must(c.DeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: source.ID, Name: "bob"}))
		differences, err := c.Diff(t.Context(), d)
		w.must(err)
		if got, want := lines(differences), fmt.Sprintf("makes: user eve (with uid %d, profile eve)\nmakes: access point /%d (of the home of eve, entered as %d)\n"+
			"ends: user bob (has no profile any more; home and records stay)", eve.UID, eve.UID, eve.UID); got != want {
			t.Errorf("they differ by\n%s\nwant\n%s", got, want)
		}
		_, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if u, err := d.User(t.Context(), "bob"); err != nil || u.Offboarded.IsZero() || u.UID != bob.UID {
			t.Errorf("bob is %+v, %v", u, err)
		}
		anew := w.profile(source.ID, "bob")
		differences, err = c.Diff(t.Context(), d)
		w.must(err)
		if got := lines(differences); !strings.Contains(got, fmt.Sprintf("profile bob has uid %d", anew.UID)) {
			t.Errorf("they differ by %q", got)
		}
		q.Users["bob"] = "bob2"
		_, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if u, err := d.User(t.Context(), "bob2"); err != nil || u.UID != anew.UID {
			t.Errorf("bob2 is %+v, %v", u, err)
		}
		delete(q.Users, "bob") // whoever has the uid is the user
		w.must(d.Offboard(t.Context(), "ada"))
		if differences, err := c.Diff(t.Context(), d); err != nil || !strings.HasPrefix(lines(differences), "stays: user ada (was offboarded here") || len(differences) != 1 {
			t.Errorf("they differ: %v, %v", differences, err)
		}
		_, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if u, err := d.User(t.Context(), "ada"); err != nil || u.Offboarded.IsZero() {
			t.Errorf("ada, who was offboarded, is %+v, %v", u, err)
		}
		_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "ada", UID: ada.UID})
		w.must(err)
		if differences, err := c.Diff(t.Context(), d); err != nil || len(differences) > 0 {
			t.Errorf("they differ: %v, %v", differences, err)
		}
	})
}

// replaced puts words for what differs from run to run.
func replaced(text string, w *world, source sagemakerdomain.Description) string {
	w.Helper()
	groups, err := w.client().NFSGroups(w.Context(), source.ID)
	w.must(err)
	pairs := []string{source.ID, "DOMAIN", source.FileSystem, "FILESYSTEM", source.VPC, "VPC", groups.Inbound, "INBOUND", groups.Outbound, "OUTBOUND"}
	for n, s := range slices.Sorted(slices.Values(source.Subnets)) {
		pairs = append(pairs, s, fmt.Sprintf("SUBNET%d", n))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// TestAdoptRefuses: what stands against it is told at once, and nothing is made.
func TestAdoptRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		records := store.NewMemory()
		c, to := w.client(), w.domains(records)
		before := w.inventory()
		for name, test := range map[string]struct {
			q    sagemakerdomain.AdoptRequest
			kind domain.Kind
			want string
		}{
			"NoID":    {sagemakerdomain.AdoptRequest{Name: "research"}, domain.ErrInvalid, "want its id"},
			"Unknown": {sagemakerdomain.AdoptRequest{ID: "d-unknown", Name: "research"}, domain.ErrNotFound, "d-unknown"},
			"Name":    {sagemakerdomain.AdoptRequest{ID: source.ID, Name: "Research"}, domain.ErrInvalid, "'R'"},
		} {
			_, err := c.Adopt(t.Context(), to, test.q)
			w.is(err, test.kind, test.want)
			_ = name
		}
		_, err := c.Adopt(t.Context(), nil, sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"})
		w.is(err, domain.ErrInvalid, "client of domains is nil")
		if got := differs(before, w.inventory()); got != "" {
			t.Errorf("refused, it changes %s", got)
		}
		// A domain with a file system of its own is not one that was adopted.
		own, err := to.Create(t.Context(), domain.CreateRequest{Name: "own", VPC: source.VPC, Subnets: source.Subnets})
		w.must(err)
		_, err = c.Adopt(t.Context(), to, sagemakerdomain.AdoptRequest{ID: source.ID, Name: "own"})
		w.is(err, domain.ErrState, "has a file system of its own", "choose another name")
		_, err = c.Adopt(t.Context(), to, sagemakerdomain.AdoptRequest{ID: "d-unknown", Name: "own"})
		w.is(err, domain.ErrNotFound, "SageMaker has no domain d-unknown")
		_, err = c.Diff(t.Context(), own)
		w.is(err, domain.ErrState, "was not adopted")
		// Without SageMaker's group there is no way to the homes.
		plain := w.raw(bare)
		w.inService(plain)
		groups, err := c.NFSGroups(t.Context(), plain)
		w.must(err)
		ec2 := awsec2.NewFromConfig(w.cloud.Config())
		for _, id := range []string{groups.Outbound, groups.Inbound} {
			found, err := ec2.DescribeSecurityGroups(t.Context(), &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})
			w.must(err)
			for _, g := range found.SecurityGroups {
				if len(g.IpPermissions) > 0 {
					_, err = ec2.RevokeSecurityGroupIngress(t.Context(), &awsec2.RevokeSecurityGroupIngressInput{GroupId: &id, IpPermissions: g.IpPermissions})
					w.must(err)
				}
				if len(g.IpPermissionsEgress) > 0 {
					_, err = ec2.RevokeSecurityGroupEgress(t.Context(), &awsec2.RevokeSecurityGroupEgressInput{GroupId: &id, IpPermissions: g.IpPermissionsEgress})
					w.must(err)
				}
			}
		}
		_, err = ec2.DeleteSecurityGroup(t.Context(), &awsec2.DeleteSecurityGroupInput{GroupId: &groups.Outbound})
		w.must(err)
		_, err = c.Adopt(t.Context(), to, sagemakerdomain.AdoptRequest{ID: plain, Name: "research"})
		w.is(err, domain.ErrState, "security group security-group-for-outbound-nfs-"+plain, "it is gone")
	})
}

// TestAdoptGoesOn: who has left is offboarded also where a profile was made anew before
// anybody looked, an image is gone, or another user cannot be made.
func TestAdoptGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		w.profile(source.ID, "bob")
		w.profile(source.ID, "leaver")
		w.imageOf("session", "1")
		_, err := w.client().AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: source.ID, Image: "session"})
		w.must(err)
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		// Anew, before it was seen to be gone; and a login is another's name.
		for _, name := range []string{"bob", "leaver"} {
			w.must(c.DeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: source.ID, Name: name}))
		}
		anew := w.profile(source.ID, "bob")
		ada := w.profile(source.ID, "ada")
		_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "ada", UID: ada.UID, Login: "carol"})
		w.must(err)
		w.profile(source.ID, "carol")
		w.profile(source.ID, "dave")
		_, err = d.Attach(t.Context(), domain.AttachRequest{Name: "session", Reference: ecr + "r-session:1"}) // by tag: the administrator's
		w.must(err)
		_, err = c.Adopt(t.Context(), to, q)
		w.is(err, domain.ErrConflict, "user carol", "is or was the login of user ada")
		for name, gone := range map[string]bool{"bob": true, "leaver": true, "ada": false, "dave": false} {
			if u, err := d.User(t.Context(), name); err != nil || u.Offboarded.IsZero() == gone {
				t.Errorf("%s: %+v, %v", name, u, err)
			}
		}
		differences, err := c.Diff(t.Context(), d)
		w.must(err)
		for _, want := range []string{fmt.Sprintf("profile bob has uid %d", anew.UID), "stays: image session (is " + ecr + "r-session:1 here and " + ecr + "r-session@sha256:"} {
			if !strings.Contains(lines(differences), want) {
				t.Errorf("they differ by\n%s\nwhich does not say %q", lines(differences), want)
			}
		}
		// Under another name, or for others, the homes are not opened.
		_, err = c.Adopt(t.Context(), to, sagemakerdomain.AdoptRequest{ID: source.ID, Name: "second"})
		w.is(err, domain.ErrState, fmt.Sprintf("home /%d: is that of user ada of domain research", ada.UID))
		// SageMaker's domain is not deleted below ours.
		before := w.inventory()
		would, err := c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: source.ID})
		w.must(err)
		if got := lines(would, domain.Blocks); got != "blocks: domain research (of ours opens its homes: delete that one first)" {
			t.Errorf("it is blocked by %q", got)
		}
		err = c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: source.ID})
		w.is(err, domain.ErrState, "domain research of ours opens its homes")
		if got := differs(before, w.inventory()); got != "" {
			t.Errorf("refused, it changes %s", got)
		}
		for u, err := range d.Users(t.Context()) {
			w.must(err)
			w.must(d.Offboard(t.Context(), u.Name))
		}
		w.must(to.Delete(t.Context(), "research"))
		w.must(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: source.ID}))
	})
}

func init() {
	stories["Adopt"] = story{
		before: (*world).busy,
		call: func(w *world, id string) error {
			if w.records == nil {
				w.records = store.NewMemory()
			}
			_, err := w.client().Adopt(w.Context(), w.domains(w.records), sagemakerdomain.AdoptRequest{ID: id, Name: "research"})
			return err
		},
	}
}
