package launcher_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// full is a workload with every field set.
func full() launcher.Workload {
	return launcher.Workload{
		ID: "s-1.g1", Owner: "alice", Image: "registry/rstudio@sha256:0",
		Command: []string{"rserver"}, Dir: "/", Env: map[string]string{"A": "1"}, Secrets: map[string]string{"token": "hush"},
		Role:  launcher.Role{ARN: "arn:aws:iam::123456789012:role/analysis", Endpoint: "https://portal.example.com/c", Token: "hush"},
		Stdin: []byte("in"), StopSignal: "SIGINT", User: launcher.User{UID: 1, GID: 2, Groups: []uint32{3}},
		Mounts:    []launcher.Mount{{Source: "/efs/a", Target: "/home/alice"}},
		Ports:     []launcher.Port{{Name: "http", Number: 8787}},
		Resources: launcher.Resources{MilliCPU: 1500, MemoryMiB: 4096, GPUs: 1}, InstanceType: "r5.xlarge",
		Sharing: launcher.Pool, Labels: map[string]string{"l": "1"},
	}
}

func ExampleWorkload_Validate() {
	w := launcher.Workload{ID: "Session 1", Owner: "alice"}
	fmt.Println(w.Validate())
	// Output:
	// launcher: launch Session 1: invalid: id "Session 1": want 1 to 63 of a-z 0-9 . _ - beginning with a letter or digit
	// image is empty
}

func TestValidate(t *testing.T) {
	if err := full().Validate(); err != nil {
		t.Fatalf("a valid workload: %v", err)
	}
	cases := map[string]struct {
		change func(*launcher.Workload)
		say    []string
	}{
		"ID/Empty":             {func(w *launcher.Workload) { w.ID = "" }, []string{`id ""`}},
		"ID/TooLong":           {func(w *launcher.Workload) { w.ID = launcher.ID(strings.Repeat("a", 64)) }, []string{"1 to 63"}},
		"ID/Separator":         {func(w *launcher.Workload) { w.ID = "a/b" }, []string{`id "a/b"`}},
		"ID/Newline":           {func(w *launcher.Workload) { w.ID = "a\n" }, []string{`id "a\n"`}},
		"Owner":                {func(w *launcher.Workload) { w.Owner = "" }, []string{"owner is empty"}},
		"Image":                {func(w *launcher.Workload) { w.Image = "" }, []string{"image is empty"}},
		"Entrypoint/Empty":     {func(w *launcher.Workload) { w.Entrypoint = []string{} }, []string{"entry point", "program"}},
		"Entrypoint/NoProgram": {func(w *launcher.Workload) { w.Entrypoint = []string{"", "x"} }, []string{"entry point", "program"}},
		"Dir/Relative":         {func(w *launcher.Workload) { w.Dir = "work" }, []string{`directory "work"`, "absolute"}},
		"Dir/DotDot":           {func(w *launcher.Workload) { w.Dir = "/a/../b" }, []string{`directory "/a/../b"`}},
		"Dir/TrailingSlash":    {func(w *launcher.Workload) { w.Dir = "/a/" }, []string{`directory "/a/"`}},
		"Dir/NUL":              {func(w *launcher.Workload) { w.Dir = "/a\x00b" }, []string{`directory "/a\x00b"`}},
		"StopSignal":           {func(w *launcher.Workload) { w.StopSignal = "TERM" }, []string{`stop signal "TERM"`, "SIGTERM"}},
		"StopSignal/Unknown":   {func(w *launcher.Workload) { w.StopSignal = "SIGNAL" }, []string{`stop signal "SIGNAL"`, "SIGTERM"}},
		"Env/Name":             {func(w *launcher.Workload) { w.Env = map[string]string{"": "x", "A=B": "y"} }, []string{`variable ""`, `variable "A=B"`}},
		"Env/NUL":              {func(w *launcher.Workload) { w.Env = map[string]string{"A": "\x00"} }, []string{`variable "A"`}},
		"Secret/Path":          {func(w *launcher.Workload) { w.Secrets = map[string]string{"../x": "hush"} }, []string{`secret "../x"`}},
		"Secret/Role":          {func(w *launcher.Workload) { w.Secrets["aws-token"] = "hush" }, []string{`secret "aws-token"`}},
		"Role/ARN":             {func(w *launcher.Workload) { w.Role.ARN = "analysis" }, []string{`ARN "analysis"`}},
		"Role/NoARN":           {func(w *launcher.Workload) { w.Role.ARN = "" }, []string{`ARN ""`}},
		"Role/NoEndpoint":      {func(w *launcher.Workload) { w.Role.Endpoint = "" }, []string{"endpoint is empty"}},
		"Role/NoToken":         {func(w *launcher.Workload) { w.Role.Token = "" }, []string{"token has 0 bytes"}},
		"Role/TokenNewline":    {func(w *launcher.Workload) { w.Role.Token = "hush\n" }, []string{"token has 5 bytes"}},
		"Role/TokenLong":       {func(w *launcher.Workload) { w.Role.Token = strings.Repeat("hush", 257) }, []string{"token has 1028 bytes"}},
		"Mount/Source":         {func(w *launcher.Workload) { w.Mounts[0].Source = "" }, []string{"source is empty"}},
		"Mount/Relative":       {func(w *launcher.Workload) { w.Mounts[0].Target = "home" }, []string{`target "home"`}},
		"Mount/Root":           {func(w *launcher.Workload) { w.Mounts[0].Target = "/" }, []string{`target "/"`}},
		"Mount/DotDot":         {func(w *launcher.Workload) { w.Mounts[0].Target = "/a/../b" }, []string{`target "/a/../b"`}},
		"Mount/TrailingSlash":  {func(w *launcher.Workload) { w.Mounts[0].Target = "/a/" }, []string{`target "/a/"`}},
		"Mount/Twice":          {func(w *launcher.Workload) { w.Mounts = append(w.Mounts, w.Mounts[0]) }, []string{"used twice"}},
		"Port/Name":            {func(w *launcher.Workload) { w.Ports[0].Name = "HTTP" }, []string{`port name "HTTP"`}},
		"Port/Number":          {func(w *launcher.Workload) { w.Ports[0].Number = 65536 }, []string{"65536"}},
		"Port/HostPort":        {func(w *launcher.Workload) { w.Ports[0].HostPort = -1 }, []string{"host port -1"}},
		"Port/Twice":           {func(w *launcher.Workload) { w.Ports = append(w.Ports, w.Ports[0]) }, []string{"declared twice"}},
		"Port/HostPortTwice":   {func(w *launcher.Workload) { w.Ports = []launcher.Port{{"a", 1, 80}, {"b", 2, 80}} }, []string{"host port 80 is asked for twice"}},
		"Resources":            {func(w *launcher.Workload) { w.Resources.MemoryMiB = -1 }, []string{"negative"}},
		"Sharing":              {func(w *launcher.Workload) { w.Sharing = "some" }, []string{`sharing "some"`}},
		"Market":               {func(w *launcher.Workload) { w.Market = "flea" }, []string{`market "flea"`}},
		"Lifetime":             {func(w *launcher.Workload) { w.Lifetime = -1 }, []string{"lifetime -1ns"}},
		"Alternatives":         {func(w *launcher.Workload) { w.Alternatives = []string{"", w.InstanceType, "a", "a"} }, []string{"alternative 0 is empty", "is named twice", `"a" is named twice`}},
		"EveryProblemIsListed": {func(w *launcher.Workload) { *w = launcher.Workload{StopSignal: "x", Sharing: "y"} }, []string{"id", "owner", "image", "stop signal", "sharing"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := full()
			c.change(&w)
			err := w.Validate()
			if !errors.Is(err, launcher.ErrInvalid) {
				t.Fatalf("Validate() = %v; want it to be ErrInvalid", err)
			}
			for _, word := range c.say {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("Validate() = %q; want it to name %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("Validate() = %q; it tells a secret", err)
			}
		})
	}
}

// Every field but the values of Secrets and Stdin and a token must make another digest.
func TestDigest(t *testing.T) {
	base := full()
	if a, b := base.Digest(), full().Digest(); a != b {
		t.Fatalf("equal workloads have digests %s and %s", a, b)
	}
	change := map[string]func(*launcher.Workload){
		"ID":           func(w *launcher.Workload) { w.ID = "other" },
		"Owner":        func(w *launcher.Workload) { w.Owner = "bob" },
		"Image":        func(w *launcher.Workload) { w.Image = "other" },
		"Entrypoint":   func(w *launcher.Workload) { w.Entrypoint = []string{"/init"} },
		"Command":      func(w *launcher.Workload) { w.Command = []string{"rserver", ""} },
		"Dir":          func(w *launcher.Workload) { w.Dir = "" },
		"Env":          func(w *launcher.Workload) { w.Env = map[string]string{"A": "2"} },
		"Secrets":      func(w *launcher.Workload) { w.Secrets = map[string]string{"other": "hush"} },
		"Role":         func(w *launcher.Workload) { w.Role.ARN += "s" },
		"StopSignal":   func(w *launcher.Workload) { w.StopSignal = "SIGTERM" },
		"User":         func(w *launcher.Workload) { w.User.Groups = []uint32{4} },
		"Mounts":       func(w *launcher.Workload) { w.Mounts[0].ReadOnly = true },
		"Ports":        func(w *launcher.Workload) { w.Ports[0].HostPort = 80 },
		"Resources":    func(w *launcher.Workload) { w.Resources.GPUs = 0 },
		"InstanceType": func(w *launcher.Workload) { w.InstanceType = "" },
		"Alternatives": func(w *launcher.Workload) { w.Alternatives = []string{"r5.large"} },
		"Market":       func(w *launcher.Workload) { w.Market = launcher.Spot },
		"Lifetime":     func(w *launcher.Workload) { w.Lifetime = time.Hour },
		"Sharing":      func(w *launcher.Workload) { w.Sharing = launcher.Exclusive },
		"Labels":       func(w *launcher.Workload) { w.Labels = nil },
	}
	for f := range reflect.TypeFor[launcher.Workload]().Fields() {
		t.Run(f.Name, func(t *testing.T) {
			w := full()
			if f.Name == "Stdin" {
				w.Stdin = []byte("other")
				if w.Digest() != base.Digest() {
					t.Error("the content of Stdin changes the digest")
				}
				return
			}
			if change[f.Name] == nil {
				t.Fatal("this test does not know the field")
			}
			if change[f.Name](&w); w.Digest() == base.Digest() {
				t.Error("a change does not change the digest")
			}
		})
	}
	t.Run("SecretValue", func(t *testing.T) {
		w := full()
		w.Secrets["token"] = "other"
		if w.Digest() != base.Digest() {
			t.Error("the value of a secret changes the digest")
		}
		if w.Secrets["token"] != "other" || string(w.Stdin) != "in" {
			t.Error("Digest changed the workload")
		}
	})
	t.Run("RoleToken", func(t *testing.T) {
		w := full()
		w.Role.Token = "other"
		if w.Digest() != base.Digest() || w.Role.Token != "other" {
			t.Errorf("the token of a role changes the digest, or Digest the token: %+v", w.Role)
		}
	})
	t.Run("Kept", func(t *testing.T) { // hosts have containers with the digest of an earlier version
		w := full()
		w.Dir = ""
		if got := w.Digest(); got != "456fed934047373298ea7a02552a5665f570833699d4aab11adc99f733761423" {
			t.Errorf("what has none of the fields that came later has digest %s", got)
		}
	})
	t.Run("NilIsEmpty", func(t *testing.T) {
		a, b := full(), full()
		a.Env, b.Env = nil, map[string]string{}
		if a.Digest() != b.Digest() {
			t.Error("an empty environment and none have different digests")
		}
	})
}

func ExampleResources() {
	room := launcher.Resources{MilliCPU: 4000, MemoryMiB: 16384}
	want := launcher.Resources{MilliCPU: 1500, MemoryMiB: 4096, GPUs: 1}
	fmt.Println(want)
	fmt.Println(want.Fits(room))
	want.GPUs = 0
	fmt.Println(want.Fits(room), room.Minus(want), room.Plus(want).Minus(room) == want)
	// Output:
	// 1.5 vCPU, 4 GiB, 1 GPU
	// false
	// true 2.5 vCPU, 12 GiB true
}
