package hostboot_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/atelier-go/atelier/internal/cloudconfig"
	"github.com/atelier-go/atelier/internal/realtest"
	"github.com/atelier-go/atelier/workbench/internal/hostboot"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	volume = "vol-0123456789abcdef0"
	system = "fs-0123456789abcdef0"
)

// least is a host whose image has everything.
var least = hostboot.Config{Region: "us-east-1", Secret: "atelier/research/workbench", Volume: volume, Device: "/dev/sdf", FileSystem: system}

// most is a host that fetches everything.
func most() hostboot.Config {
	c := least
	c.Storage, c.StoragePath = "fsap-00000000000000001", "/projects/genome"
	c.PackageURL, c.PackageSHA256 = "https://example.com/rstudio-workbench.rpm", sum(packageText)
	c.PluginURL, c.PluginSHA256, c.PluginPath = "https://example.com/plugin", sum(pluginText), "/usr/lib/rstudio-server/bin/rstudio-ec2-launcher"
	c.Accounts = []string{c.PluginPath, "accounts"}
	c.License, c.LicenseSecret = "key", "arn:aws:secretsmanager:us-east-1:123456789012:secret:posit-AbCdEf"
	return c
}

func TestUserData(t *testing.T) {
	server := least
	server.License, server.LicenseServer = "server", "licence.example.com:8989"
	for name, c := range map[string]hostboot.Config{"least": least, "most": most(), "server": server} {
		t.Run(name, func(t *testing.T) {
			got := hostboot.UserData(c)
			if len(got) > cloudconfig.MaxSize-800 {
				t.Errorf("%d bytes: want 800 of EC2's %d to be left for longer URLs", len(got), cloudconfig.MaxSize)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("not as in %s: look at the difference, and run with -update if it is meant", golden)
			}
			command(t, "cloud-init", "schema", "--config-file", golden)
		})
	}
}

func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("files/*.sh")
	if err != nil || len(scripts) < 8 {
		t.Fatal(scripts, err)
	}
	command(t, "shellcheck", append([]string{"--external-sources", "--source-path=SCRIPTDIR", "--shell=bash"}, scripts...)...)
}

// command runs a program that finds fault with something, if it is here.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		realtest.Missing(t, "%s is not here to check what was rendered", name)
	}
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}
