package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// every is the values of the package.
func every() map[string]Kind {
	return map[string]Kind{"rstudio": RStudio(), "jupyterlab": JupyterLab(), "vscode": VSCode(), "positron": Positron(), "job": Job()}
}

// A stored session holds its kind: what was written has to be read for ever,
// and a change is to be seen.
func TestKindsAreStoredAsEver(t *testing.T) {
	for name, k := range every() {
		t.Run(name, func(t *testing.T) {
			if found := k.problems(); found != nil || k.Name != name {
				t.Errorf("kind %s: %v", k.Name, found)
			}
			got := indented(t, k)
			golden := filepath.Join("testdata", "kind-"+name+".golden")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("not as in %s: look at the difference, and run with -update if it is meant:\n%s", golden, got)
			}
			var read Kind
			if err := json.Unmarshal(want, &read); err != nil {
				t.Fatal(err)
			}
			if again := indented(t, read); !bytes.Equal(again, want) {
				t.Errorf("read as %s", again)
			}
		})
	}
	if text := indented(t, Kind{Name: "own"}); string(text) != "{\n  \"Name\": \"own\"\n}\n" {
		t.Errorf("what is zero is written: %s", text)
	}
}

func indented(t *testing.T, k Kind) []byte {
	t.Helper()
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// A kind as it was stored before there were probes means what it did.
func TestOldKindIsRead(t *testing.T) {
	var k Kind
	text := `{"Name":"rstudio","Ports":[{"Name":"http","Number":8787,"HostPort":0}],"StopGrace":30000000000,"SuspendGrace":30000000000}`
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		t.Fatal(err)
	}
	if found := k.problems(); found != nil {
		t.Error(found)
	}
	if ready, why := k.ready(t.Context(), nil); !ready || k.unsuspendable() != "" || !k.keptState(143) {
		t.Errorf("ready %v (%s), unsuspendable %q", ready, why, k.unsuspendable())
	}
	if _, _, _, err := k.activity(t.Context(), nil); !errors.Is(err, errSilent) {
		t.Errorf("it tells when it was used: %v", err)
	}
}

func TestZeroKind(t *testing.T) {
	for name, k := range map[string]Kind{"zero": {}, "empty lists": {Ports: []launcher.Port{}, SavedCodes: []int{}}} {
		if got := k.withDefault(); got.Name != "rstudio" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for name, k := range map[string]Kind{
		"ready": {Ready: Probe{Path: "/"}}, "activity": {Activity: Activity{Path: "/"}}, "suspension": {Suspension: NoSuspension},
		"codes": {SavedCodes: []int{0}}, "base": {Base: Base{Header: "X"}}, "home": {Home: "/h"}, "grace": {StopGrace: 1},
	} {
		if got := k.withDefault(); got.Name != "" {
			t.Errorf("%s stands for RStudio", name)
		}
	}
	k := RStudio()
	c := k.clone()
	c.SavedCodes[0], c.Ports[0].Number = 1, 1
	if k.SavedCodes[0] != RStudioSaved || k.Ports[0].Number != 8787 {
		t.Error("a clone shares its lists")
	}
}

func TestKindProblems(t *testing.T) {
	for name, c := range map[string]struct {
		change func(k *Kind)
		say    []string // each in a problem of its own
	}{
		"right":            {func(*Kind) {}, nil},
		"query":            {func(k *Kind) { k.Ready.Path = "/healthz?token=a%20b" }, nil},
		"below a base":     {func(k *Kind) { k.Activity = Activity{"http", "/sessions/a/api/status?token=x", JupyterStatus} }, nil},
		"codes":            {func(k *Kind) { k.Suspension, k.SavedCodes = SavesState, []int{0, 255} }, nil},
		"header":           {func(k *Kind) { k.Base.Header = "X-RStudio-Root-Path" }, nil},
		"argument":         {func(k *Kind) { k.Base.Argument = "--base={path}" }, nil},
		"name":             {func(k *Kind) { k.Name = "X" }, []string{`name "X"`}},
		"grace":            {func(k *Kind) { k.SuspendGrace = -time.Second }, []string{"suspend grace -1s"}},
		"signal":           {func(k *Kind) { k.SuspendSignal = "USR1" }, []string{`suspend signal "USR1"`}},
		"ready port":       {func(k *Kind) { k.Ready.Port = "web" }, []string{`ready: port "web" is not among its ports, ["http"]`}},
		"ready no port":    {func(k *Kind) { k.Ready.Port = "" }, []string{`ready: port ""`}},
		"ready no path":    {func(k *Kind) { k.Ready.Path = "" }, nil},
		"ready any port":   {func(k *Kind) { k.Ready = Probe{Port: "web"} }, []string{`ready: port "web" is not among its ports, ["http"]`}},
		"relative":         {func(k *Kind) { k.Ready.Path = "healthz" }, []string{`ready: path "healthz"`}},
		"star":             {func(k *Kind) { k.Ready.Path = "*" }, []string{`ready: path "*"`}},
		"elsewhere":        {func(k *Kind) { k.Ready.Path = "//evil.example/x" }, []string{`ready: path "//evil.example/x"`}},
		"url":              {func(k *Kind) { k.Ready.Path = "http://evil.example/" }, []string{`ready: path "http`}},
		"space":            {func(k *Kind) { k.Ready.Path = "/a b" }, []string{`ready: path "/a b"`}},
		"line":             {func(k *Kind) { k.Ready.Path = "/a\r\nX: y" }, []string{`ready: path`}},
		"percent":          {func(k *Kind) { k.Ready.Path = "/%zz" }, []string{`ready: path "/%zz"`}},
		"fragment":         {func(k *Kind) { k.Ready.Path = "/a#b" }, []string{`ready: path "/a#b"`}},
		"letters":          {func(k *Kind) { k.Ready.Path = "/é" }, []string{`ready: path "/é"`}},
		"activity port":    {func(k *Kind) { k.Activity = Activity{"web", "/healthz", CodeServerHealth} }, []string{`activity: port "web"`}},
		"activity path":    {func(k *Kind) { k.Activity = Activity{"http", "idle", PositronIdle} }, []string{`activity: path "idle"`}},
		"format":           {func(k *Kind) { k.Activity = Activity{"http", "/x", "xml"} }, []string{`activity: format "xml" is unknown`}},
		"no format":        {func(k *Kind) { k.Activity = Activity{Port: "http", Path: "/x"} }, []string{`activity: format ""`}},
		"jupyter path":     {func(k *Kind) { k.Activity = Activity{"http", "/api?x=/api/status", JupyterStatus} }, []string{"ends with /api/status"}},
		"suspension":       {func(k *Kind) { k.Suspension = "freezes" }, []string{`suspension "freezes" is unknown`}},
		"unconfirmed":      {func(k *Kind) { k.Suspension = SavesState }, []string{"needs saved codes"}},
		"nothing to save":  {func(k *Kind) { k.SavedCodes = []int{80} }, []string{"only a program that saves its state"}},
		"job with codes":   {func(k *Kind) { k.Suspension, k.SavedCodes = NoSuspension, []int{80} }, []string{"only a program that saves its state"}},
		"job with signal":  {func(k *Kind) { k.Suspension, k.SuspendSignal = NoSuspension, "SIGUSR1" }, []string{"a program that is not suspended has none"}},
		"job with grace":   {func(k *Kind) { k.Suspension, k.SuspendGrace = NoSuspension, time.Second }, []string{"a program that is not suspended has none"}},
		"large code":       {func(k *Kind) { k.Suspension, k.SavedCodes = SavesState, []int{80, 256} }, []string{"saved codes [80 256]"}},
		"negative code":    {func(k *Kind) { k.Suspension, k.SavedCodes = SavesState, []int{-1} }, []string{"saved codes [-1]"}},
		"header with more": {func(k *Kind) { k.Base.Header = "X: y" }, []string{`base header "X: y"`}},
		"argument without": {func(k *Kind) { k.Base.Argument = "--base=/x" }, []string{"{path}"}},
		"two bases":        {func(k *Kind) { k.Base = Base{"X", "--base={path}"} }, []string{"a header or an argument"}},
		"all at once": {
			func(k *Kind) {
				k.Name, k.StopGrace, k.SuspendSignal, k.Suspension = "", -1, "x", "y"
				k.Ready, k.Activity, k.SavedCodes = Probe{"a", "b"}, Activity{"c", "d", "e"}, []int{300}
				k.Base = Base{"(", ")"}
			},
			[]string{"name", "grace", "signal", `port "a"`, `path "b"`, `port "c"`, `path "d"`, `format "e"`, "suspension", "saved codes", "base header", "base argument", "a header or an argument"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := Kind{Name: "own", Ports: []launcher.Port{{Name: "http", Number: 80}}, Ready: Probe{Port: "http", Path: "/"}}
			c.change(&k)
			found := k.problems()
			if len(found) != len(c.say) {
				t.Fatalf("%d problems, want %d: %v", len(found), len(c.say), errors.Join(found...))
			}
			for i, want := range c.say {
				if text := found[i].Error(); !strings.HasPrefix(text, "kind: ") || !strings.Contains(text, want) {
					t.Errorf("problem %d is %q, want %q", i, text, want)
				}
			}
		})
	}
}
