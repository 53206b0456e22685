package cloudconfig_test

import (
	"testing"

	"github.com/atelier-go/atelier/internal/cloudconfig"
)

func TestUserData(t *testing.T) {
	texts := map[string]string{"a": "one\n\n  two\n", "b": "three\n"}
	got := cloudconfig.UserData([]cloudconfig.File{{Name: "b", Path: "/etc/b", Mode: "0644"}, {Name: "a", Path: "/bin/a", Mode: "0755"}}, func(name string) string { return texts[name] }, "[a, b]", "[c]")
	const want = `#cloud-config
write_files:
-
 path: /etc/b
 content: |
  three
-
 path: /bin/a
 permissions: '0755'
 content: |
  one

    two
runcmd:
- [a, b]
- [c]
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
