package workbench_test

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/workbench"
)

// harmless is what a value may be, in words that the package does not use: signs
// that print, with single spaces between, and none that means something.
var harmless = regexp.MustCompile(`^[^\pC\pZ\[#;"\\]([^\pC\pZ#;"\\]| )*$`)

func isHarmless(value string) bool {
	return utf8.ValidString(value) && harmless.MatchString(value) && !strings.HasSuffix(value, " ")
}

// FuzzConfiguration holds that values of any kind come back as they were from all
// readers, with nothing beside them, or are refused; and that no more is refused
// than could be misunderstood.
func FuzzConfiguration(f *testing.F) {
	for _, v := range []string{
		"plain", "with space", " leading", "trailing ", "a\nb=c", "a\r", "a#b", "#", ";", "a;b", "[section]", "a[b]", "a=b", "a: b", `"quoted"`, `back\slash`,
		"a,b", "{USER}", "$HOME", "münchen", "\xff", "\x00", "\u2028", "\u00a0", "", "a\n\nPath: /etc", "\ufffd", "a  b", "é", "\u200b",
	} {
		f.Add(v, v, v, v, v)
	}
	f.Fuzz(func(t *testing.T, title, store, variable, secret, image string) {
		c := minimal()
		c.Profiles[0].Title, c.Plugin.Store = title, store
		c.Menus[0].Images = []string{image, "other"}
		c.Environment = []workbench.Variable{{Name: "FIRST", Value: variable}, {Name: "SECOND", Value: variable}}
		c.Auth.OpenID = &workbench.OpenID{Issuer: "https://login.example.com", ClientID: "id", ClientSecret: secret}

		want := isHarmless(variable) && isHarmless(secret) && isHarmless(image) && !strings.Contains(image, ",") && image != "other" &&
			(title == "" || isHarmless(title)) && (store == "" || isHarmless(store))
		files, err := c.Files()
		if (err == nil) != want {
			t.Fatalf("%q %q %q %q %q: %v", title, store, variable, secret, image, err)
		}
		if err != nil {
			if files != nil || !errors.Is(err, domain.ErrInvalid) || strings.Contains(err.Error(), "\x00") {
				t.Fatalf("%d files beside %q", len(files), err)
			}
			return
		}
		plugin := section("", "domain", "research", "region", "us-east-1")
		if store != "" {
			plugin.values["store"] = store
		}
		if title == "" {
			title = "t3.medium"
		}
		for name, want := range map[string][]paragraph{
			"launcher.ec2.conf":           {plugin},
			"launcher.ec2.resources.conf": {section("t3.medium", "name", title, "cpus", "2", "mem-mb", "3994")},
			"launcher.ec2.profiles.conf": {section("*", "container-images", image+",other", "default-container-image", image, "allow-unknown-images", "0",
				"resource-profiles", "t3.medium", "allow-custom-resources", "0")},
			"launcher-env":         {section("", "JobType", "any", "Environment", "FIRST="+variable+"\nSECOND="+variable)},
			"openid-client-secret": {section("", "client-id", "id", "client-secret", secret)},
		} {
			if diff := cmp.Diff(want, read(t, files, name), cmp.AllowUnexported(paragraph{})); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", name, diff)
			}
		}
	})
}

// FuzzPlugin holds that what a plugin reads of anything, it reads again.
func FuzzPlugin(f *testing.F) {
	f.Add("domain=research\nregion=us-east-1\nstore=table:a\n")
	f.Add("# comment\n\n domain = a \r\nregion=b")
	f.Add("domain=a\ndomain=b")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := workbench.ParsePlugin([]byte(text))
		if err != nil {
			if p != (workbench.Plugin{}) || !errors.Is(err, domain.ErrInvalid) {
				t.Fatalf("%+v beside %v", p, err)
			}
			return
		}
		c := minimal()
		c.Plugin = p
		again, err := workbench.ParsePlugin(content(t, mustFiles(t, c), "launcher.ec2.conf"))
		if err != nil || again != p {
			t.Fatalf("%+v, %v, want %+v", again, err, p)
		}
	})
}

// FuzzCallbackAddress holds that an address is refused or leads to another machine.
func FuzzCallbackAddress(f *testing.F) {
	for _, a := range []string{"http://10.0.0.5:8787", "https://workbench.example.com/a", "http://localhost", "http://[::1]", "http://a b", "http://a#b", "http://[fe80::1%25eth0]/", "http://a;b"} {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, address string) {
		c := minimal()
		c.CallbackAddress = address
		files, err := c.Files()
		if err != nil {
			return
		}
		got := read(t, files, "rserver.conf")[0].values["launcher-sessions-callback-address"]
		u, err := url.Parse(got)
		if got != address || err != nil || u.Host == "" || u.User != nil || strings.EqualFold(u.Hostname(), "localhost") || net.ParseIP(u.Hostname()).IsLoopback() {
			t.Errorf("%q became %q", address, got)
		}
	})
}
