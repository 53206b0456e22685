package workbench_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/workbench"
)

// What a configuration and a request say of the same thing is the same, or refused.
func TestRequest(t *testing.T) {
	full := full()
	q, err := full.Request(workbench.DeployRequest{
		InstanceType: "m7i.xlarge", Plugin: workbench.Software{URL: "https://example.com/plugin", SHA256: strings.Repeat("0", 64)},
		Files: []workbench.File{{Path: "/etc/pam.d/rstudio", Mode: 0o644, Owner: "root:root"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	own, err := full.Files()
	if err != nil {
		t.Fatal(err)
	}
	if len(q.Files) != len(own)+1 || !slices.ContainsFunc(q.Files, func(f workbench.File) bool { return f.Path == "/etc/pam.d/rstudio" }) {
		t.Errorf("%d files, want %d of the configuration and one more", len(q.Files), len(own))
	}
	if got, want := fmt.Sprint(q.InstanceType, q.Port, q.SharedStorage, q.Plugin.Path, q.URL),
		fmt.Sprint("m7i.xlarge", full.Port, full.SharedStorage, full.Plugin.Exe, "https://workbench.example.com"); got != want {
		t.Errorf("%s, want %s", got, want)
	}

	full.DataDirectory = "/srv/db"
	_, err = full.Request(workbench.DeployRequest{
		Port: 1234, SharedStorage: "other", Plugin: workbench.Software{Path: "/opt/plugin"},
		Files: []workbench.File{{Path: "/etc/rstudio/rserver.conf"}},
	})
	for _, want := range []string{"Port 1234", `SharedStorage "other"`, "/opt/plugin", "/srv/db", "rserver.conf: is one of"} {
		if !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, err := (workbench.Configuration{}).Request(workbench.DeployRequest{}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("an empty configuration: %v", err)
	}
}
