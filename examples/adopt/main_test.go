package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/examples/internal/golden"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func TestRun(t *testing.T) { golden.Run(t, run) }

// A plan and what came of it have to be the same, line by line.
func TestTellMade(t *testing.T) {
	plan := []domain.Consequence{
		{Fate: domain.Makes, Thing: domain.ThingSecurityGroup, Name: "hosts"}, {Fate: domain.Makes, Thing: domain.ThingAccessPoint, Name: "/1"},
		{Fate: domain.Makes, Thing: domain.ThingUser, Name: "ada"}, {Fate: domain.Stays, Thing: domain.ThingFileSystem, Name: "fs-1"},
	}
	before := map[string]string{"fs-1": `[{"State":"available"}]`}
	made := map[string]string{"fs-1": before["fs-1"], "sg-1": `[{"GroupName":"hosts"}]`, "fsap-1": `[{"RootDirectory":{"Path":"/1"}}]`}
	records := []string{"user ada"}
	for name, test := range map[string]struct {
		change  func(after map[string]string)
		records []string
		want    string
	}{
		"as planned": {func(map[string]string) {}, records, ""},
		"missing":    {func(after map[string]string) { delete(after, "fsap-1") }, records, "access point /1 was planned and not made"},
		"more":       {func(after map[string]string) { after["fsap-2"] = `[{"RootDirectory":{"Path":"/2"}}]` }, records, "access point /2 was made and not planned: fsap-2"},
		"twice":      {func(after map[string]string) { after["fsap-2"] = made["fsap-1"] }, records, "access point /1 was made twice, fsap-1 and fsap-2"},
		"another":    {func(after map[string]string) { after["vol-1"] = `[{"Size":1}]` }, records, "resource vol-1 was made and not planned"},
		"no record":  {func(map[string]string) {}, nil, "user ada was planned and not made"},
		"a record":   {func(map[string]string) {}, []string{"user ada", "user bob"}, "user bob was made and not planned"},
		"changed":    {func(after map[string]string) { after["fs-1"] = `[{"State":"deleting"}]` }, records, "fs-1 was"},
		"gone":       {func(after map[string]string) { delete(after, "fs-1") }, records, "fs-1 was"},
	} {
		t.Run(name, func(t *testing.T) {
			after := maps.Clone(made)
			test.change(after)
			err := tellMade(io.Discard, plan, test.records, before, after)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	var q sagemakerdomain.AdoptRequest
	read := names(&q.Users, "profile=name")
	for _, s := range []string{"Jane-Doe=jane", "bob=robert"} {
		if err := read(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "jane", "=jane", "jane=", "jane-doe=j"} {
		if read(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
	if diff := cmp.Diff(map[string]string{"Jane-Doe": "jane", "bob": "robert"}, q.Users); diff != "" {
		t.Error(diff)
	}
}

// A preview makes no file, and goes by the one that is there.
func TestRecordsIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "domains.bolt")
	for _, test := range []struct{ apply, told, made bool }{{false, true, false}, {true, false, true}, {false, false, true}} {
		var out strings.Builder
		records, end, err := recordsIn(&out, file, test.apply)
		if err != nil {
			t.Fatal(err)
		}
		if _, kept := records.(*store.Memory); kept != test.told || (out.Len() > 0) != test.told {
			t.Errorf("%+v: records are in memory: %t, it says %q", test, kept, &out)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(file); (err == nil) != test.made {
			t.Errorf("%+v: of the file: %v", test, err)
		}
	}
}

// What blocks a plan is an error, applied or not, and nothing is made.
func TestBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, err := fakeaws.New(fakeaws.Config{Delays: fakeaws.Realistic()})
		if err != nil {
			t.Fatal(err)
		}
		managed, err := sagemakerdomain.NewFromConfig(cloud.Config(), sagemakerdomain.Config{})
		if err != nil {
			t.Fatal(err)
		}
		id, err := theirs(t.Context(), cloud, managed)
		if err != nil {
			t.Fatal(err)
		}
		before, records := cloud.Inventory(), store.NewMemory()
		q := sagemakerdomain.AdoptRequest{ID: id, Name: "research", Policy: domain.Policy{Types: []string{"nonsense"}}}
		for _, apply := range []bool{false, true} {
			var out strings.Builder
			err := adoptWith(t.Context(), &out, cloud.Config(), records, q, apply)
			if err == nil || err.Error() != "blocked by 1 of these lines: nothing is made" || !strings.HasPrefix(out.String(), "blocks: ") {
				t.Errorf("%v, and it says %s", err, &out)
			}
		}
		if diff := cmp.Diff(before, cloud.Inventory()); diff != "" {
			t.Error(diff)
		}
		q.Policy.Types = []string{"t3.*"}
		if err := adoptWith(t.Context(), io.Discard, cloud.Config(), records, q, true); err != nil {
			t.Error(err)
		}
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
}
