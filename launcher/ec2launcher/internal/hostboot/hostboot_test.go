package hostboot_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/atelier-go/atelier/internal/cloudconfig"
	"github.com/atelier-go/atelier/internal/realtest"
	"github.com/atelier-go/atelier/launcher/ec2launcher/internal/hostboot"
)

var update = flag.Bool("update", false, "write the golden files anew")

var config = hostboot.Config{
	Region: "us-east-1", Secret: "atelier/research/host", LogGroup: "/atelier/research", Bridges: []string{"docker0", "atelier0"},
	EnginePort: 2376, FirstPort: 30000, LastPort: 32767, DataDevice: "/dev/xvdb", PowerOffAfter: time.Hour,
}

func TestUserData(t *testing.T) {
	gpu, china := config, config
	gpu.GPU = true
	china.Region = "cn-north-1"
	for name, c := range map[string]hostboot.Config{"plain": config, "gpu": gpu, "china": china} {
		t.Run(name, func(t *testing.T) {
			got := hostboot.UserData(c)
			if len(got) > cloudconfig.MaxSize*7/8 {
				t.Errorf("%d bytes: want an eighth of EC2's %d to be left", len(got), cloudconfig.MaxSize)
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
	if err != nil || len(scripts) < 6 {
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
