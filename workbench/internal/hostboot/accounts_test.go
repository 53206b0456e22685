package hostboot_test

import (
	"slices"
	"strings"
	"testing"
)

// Accounts with this machine's useradd: missing ones are made, those that are
// gone are locked, and no uid is ever changed.
func TestAccounts(t *testing.T) {
	m := prepared(t, most())
	if out, err := m.boot(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tell := func(lines ...string) (string, error) {
		m.write("/run/accounts", strings.Join(lines, "\n")+"\n", 0o644)
		return m.run("/usr/local/libexec/atelier/accounts")
	}
	must := func(lines ...string) string {
		t.Helper()
		out, err := tell(lines...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out
	}
	expires := func(name string) string { return m.must("bash", "-c", "getent shadow "+name+" | cut -d: -f8") }
	if got := m.must("getent", "passwd", "alice"); got != "alice:x:200001:200001:Atelier:/home/alice:/bin/bash" {
		t.Errorf("alice is %q", got)
	}
	if got := m.must("id", "-Gn", "alice"); got != "alice project-genome" {
		t.Errorf("alice's groups are %q", got)
	}
	passwd := m.read("/etc/passwd") + m.read("/etc/group")
	if out := must(alice, bob); out != "" || m.read("/etc/passwd")+m.read("/etc/group") != passwd {
		t.Errorf("again: %q", out)
	}
	// What an administrator adds stays, and projects are as they are told.
	m.must("groupadd", "admins")
	m.must("usermod", "-aG", "admins", "alice")
	must(strings.Replace(alice, "project-genome=200007", "project-other=200009,project-third=200010", 1), bob)
	if got := m.must("id", "-Gn", "alice"); got != "alice admins project-other project-third" && got != "alice project-other project-third admins" {
		t.Errorf("alice's groups are %q", got)
	}
	must(bob)
	if got := expires("alice"); got != "1" {
		t.Errorf("alice is gone, and her account expires %q", got)
	}
	if got := m.must("id", "-u", "alice"); got != "200001" {
		t.Errorf("the uid of a locked account is %q", got)
	}
	must(alice, bob)
	if got := expires("alice"); got != "" {
		t.Errorf("alice is back, and her account expires %q", got)
	}
	for name, lines := range map[string][]string{
		"nothing":       {""},
		"not a line":    {alice, "bob"},
		"root":          {alice, "bob:0:0:/home/bob::"},
		"a daemon's":    {alice, "bob:10:10:/home/bob::"},
		"elsewhere":     {alice, "bob:200002:200002:/root::"},
		"upwards":       {alice, "bob:200002:200002:/home/../root::"},
		"another group": {alice, "bob:200002:200002:/home/bob::wheel=200002"},
		"a shell":       {alice, "bob;reboot:200002:200002:/home/bob::"},
	} {
		before := m.read("/etc/passwd") + m.read("/etc/shadow") + m.read("/etc/group")
		if out, err := tell(lines...); err == nil || !strings.Contains(out, "stay as they are") {
			t.Errorf("%s: %v, %q", name, err, out)
		}
		if after := m.read("/etc/passwd") + m.read("/etc/shadow") + m.read("/etc/group"); after != before {
			t.Errorf("%s changes accounts", name)
		}
	}
	// A command that fails, as the records cannot be reached, keeps nobody from booting:
	// what it printed last counts.
	m.must("rm", "/run/accounts")
	before := m.read("/etc/passwd") + m.read("/etc/group")
	if out, err := m.run("/usr/local/libexec/atelier/accounts"); err != nil || !strings.Contains(out, "failed") || m.read("/etc/passwd")+m.read("/etc/group") != before {
		t.Errorf("after a command that fails: %v, %q", err, out)
	}
	m.must("rm", "/var/lib/atelier/accounts")
	if out, err := m.run("/usr/local/libexec/atelier/accounts"); err == nil {
		t.Errorf("without anything printed ever: %q", out)
	}
	// One that cannot be does not keep others from being.
	m.must("useradd", "--uid", "3000", "carol")
	carol := m.must("getent", "passwd", "carol")
	out := must(strings.Replace(alice, "200001:200001", "200005:200005", 1), bob, "carol:200003:200003:/home/carol::", "dave:200002:200002:/home/dave::", "erin:200006:200006:/home/erin:fsap-00000000000030d46:")
	for _, want := range []string{"alice is left as it is", "account carol exists and is not ours", "uid 200002 is that of bob", "account dave is left as it is"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q does not say %q", out, want)
		}
	}
	if got := m.must("id", "-u", "alice"); got != "200001" {
		t.Errorf("alice's uid was changed to %q", got)
	}
	if got := expires("alice"); got != "" {
		t.Errorf("alice, who is left as she is, expires %q", got)
	}
	if got := m.must("getent", "passwd", "carol"); got != carol {
		t.Errorf("carol, who is not ours, was changed to %q", got)
	}
	if got := m.must("stat", "-c", "%U", "/home/erin"); got != "erin" {
		t.Errorf("erin's home is %q", got)
	}
	if m.has("/home/dave") {
		t.Error("dave, whose uid is bob's, has a home")
	}
	if out, err := m.run("getent", "group", "dave"); err == nil {
		t.Errorf("dave, who has no account, has the group %q", out)
	}
}

// Groups of the domain are groups of the host, with exactly the members that are told,
// whoever was added otherwise and also when an account is gone.
func TestGroups(t *testing.T) {
	m := prepared(t, most())
	if out, err := m.boot(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tell := func(lines ...string) (string, error) {
		m.write("/run/accounts", strings.Join(lines, "\n")+"\n", 0o644)
		return m.run("/usr/local/libexec/atelier/accounts")
	}
	groups := func(user string, want ...string) {
		t.Helper()
		got := strings.Fields(m.must("id", "-Gn", user))
		slices.Sort(got)
		if want = append(want, user); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s is in %q, want %q", user, got, want)
		}
	}
	with := func(more string) string { return alice + "," + more }
	must := func(lines ...string) {
		t.Helper()
		if out, err := tell(lines...); err != nil || out != "" {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	must(with("group-lab,group-students"), bob+"group-lab")
	groups("alice", "group-lab", "group-students", "project-genome")
	groups("bob", "group-lab")
	m.must("groupadd", "admins")
	m.must("usermod", "-aG", "admins,group-students,project-genome", "bob")
	if gid := m.must("bash", "-c", "getent group group-lab | cut -d: -f3"); len(gid) > 5 {
		t.Errorf("group-lab has the gid %s, which the domain may give", gid)
	}
	must(with("group-students"), bob+"group-lab")
	groups("alice", "group-students", "project-genome")
	groups("bob", "admins", "group-lab")
	must(bob + "group-lab")
	groups("alice")
	must(with("group-lab"), bob)
	groups("alice", "group-lab", "project-genome")
	groups("bob", "admins")
	// A group of the host's that has such a name, but another gid, is not the one that is
	// told; all others are, and so is the home.
	m.must("groupadd", "--gid", "4000", "project-taken")
	m.must("usermod", "-aG", "project-taken", "alice")
	out, err := tell(with("project-taken=200009,group-students"), bob)
	if err != nil || !strings.Contains(out, "group project-taken has gid 4000") || !strings.Contains(out, "alice is not in all of its groups") {
		t.Errorf("%v, %q", err, out)
	}
	groups("alice", "group-students", "project-genome")
	// No account is a group, and no group an account's.
	m.must("useradd", "group-odd")
	for _, lines := range [][]string{{with("group-odd"), bob}, {alice, bob, "group-new:200008:200008:/home/group-new:fsap-00000000000030d48:"}, {alice, bob, "project-new:200008:200008:/home/project-new:fsap-00000000000030d48:"}} {
		if out, err := tell(lines...); err != nil || !strings.Contains(out, "group") {
			t.Errorf("%q: %v, %q", lines, err, out)
		}
	}
	groups("alice", "project-genome")
	for _, name := range []string{"group-new", "project-new"} {
		if out, err := m.run("getent", "passwd", name); err == nil {
			t.Errorf("there is an account %q", out)
		}
	}
	for _, lines := range [][]string{{alice + ",group-lab=200009"}, {alice + ",project-new"}, {alice + ",wheel"}, {alice + ",group-a b"}} {
		if out, err := tell(lines...); err == nil || !strings.Contains(out, "stay as they are") {
			t.Errorf("%q: %v, %q", lines, err, out)
		}
	}
}

// An account has the name that its user's login is, with dots, and another when that
// is another: the same uid, home and groups. Nobody who is signed in is renamed.
func TestLogins(t *testing.T) {
	m := prepared(t, most())
	jane := strings.ReplaceAll(alice, "alice", "jane.doe")
	m.write("/run/accounts", alice+",group-lab\n"+bob+"\n", 0o644)
	if out, err := m.boot(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tell := func(lines ...string) string {
		t.Helper()
		m.write("/run/accounts", strings.Join(lines, "\n")+"\n", 0o644)
		out, err := m.run("/usr/local/libexec/atelier/accounts")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out
	}
	m.must("groupadd", "admins")
	m.must("groupadd", "janexdoe") // which a pattern would take for jane.doe
	m.must("usermod", "-aG", "admins,janexdoe", "alice")
	m.must("su", "alice", "-s", "/bin/sh", "-c", "echo kept >~/note")

	m.must("bash", "-c", "setsid setpriv --reuid=200001 --clear-groups sleep 1000 >/dev/null 2>&1 & echo $! >/run/signed-in")
	if out := tell(jane+",group-lab", bob); !strings.Contains(out, "jane.doe is left as it is") {
		t.Errorf("while alice is signed in: %q", out)
	}
	if got := m.must("getent", "passwd", "alice"); got != "alice:x:200001:200001:Atelier:/home/alice:/bin/bash" {
		t.Errorf("alice, who is signed in, is %q", got)
	}
	if got := m.must("bash", "-c", "getent shadow alice | cut -d: -f8"); got != "" {
		t.Errorf("alice, who is signed in, is locked: %q", got)
	}
	m.must("bash", "-c", "kill -9 $(cat /run/signed-in); while kill -0 $(cat /run/signed-in); do sleep .1; done 2>/dev/null; true")

	if out := tell(jane+",group-other", bob); out != "" {
		t.Errorf("it says %q", out)
	}
	for _, c := range [][2]string{
		{"getent passwd jane.doe", "jane.doe:x:200001:200001:Atelier:/home/jane.doe:/bin/bash"},
		{"getent group 200001", "jane.doe:x:200001:"},
		{"id -Gn jane.doe | tr ' ' '\\n' | sort | paste -sd' '", "admins group-other jane.doe janexdoe project-genome"},
		{"stat -c '%U %a' /home/jane.doe", "jane.doe 700"},
		{"cat /home/jane.doe/note", "kept"},
		{"getent passwd alice; getent group alice; ls -d /home/alice 2>/dev/null", ""},
	} {
		if got := m.must("bash", "-c", c[0]+"; true"); got != c[1] {
			t.Errorf("%s: %q, want %q", c[0], got, c[1])
		}
	}
	before := m.read("/etc/passwd") + m.read("/etc/group") + m.read("/etc/shadow")
	if out := tell(bob, jane+",group-other"); out != "" || m.read("/etc/passwd")+m.read("/etc/group")+m.read("/etc/shadow") != before {
		t.Errorf("again: %q", out)
	}
	// Who was gone comes back by another name, and a rename that broke off is completed.
	tell(bob)
	m.must("groupmod", "--new-name", "half", "jane.doe")
	if out := tell(bob, strings.ReplaceAll(jane, "jane.doe", "_jane")); out != "" {
		t.Errorf("it says %q", out)
	}
	if got := m.must("bash", "-c", "getent group 200001; getent shadow _jane | cut -d: -f8"); got != "_jane:x:200001:\n" {
		t.Errorf("_jane has the group %q, or is locked", got)
	}
	// What is not ours is nobody's, whatever its uid.
	m.must("useradd", "--uid", "200003", "local")
	if out := tell(bob, "kim:200003:200003:/home/kim:fsap-00000000000030d43:"); !strings.Contains(out, "uid 200003 is that of local") {
		t.Errorf("it says %q", out)
	}
}
