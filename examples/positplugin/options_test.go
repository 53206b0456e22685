package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/positlaunchertest"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// fromLauncher is what a Launcher passes, some of it of a later version.
var fromLauncher = []string{
	"--enable-debug-logging=0", "--heartbeat-interval-seconds=1", "--plugin-name=Cloud", "--scratch-path=/x", "--unprivileged=1",
	"--config-file=/etc/rstudio/launcher.cloud.conf", "--of-the-future", "3", "--and-another", "-q",
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		args []string
		want func(options) bool
	}{
		{nil, func(o options) bool { return !o.fake && !o.docker && !o.accounts && o.image == "busybox" }},
		{[]string{"-fake"}, func(o options) bool { return o.fake }},
		{[]string{"--docker=true", "-image", "r:4", "--homes=/srv/homes"}, func(o options) bool { return o.docker && o.image == "r:4" && o.homes == "/srv/homes" }},
		{[]string{"-fake", "-users", "alice,bob"}, func(o options) bool { return slices.Equal(o.users, []string{"alice", "bob"}) }},
	} {
		for what, args := range map[string][]string{"before": append(slices.Clone(c.args), fromLauncher...), "after": append(slices.Clone(fromLauncher), c.args...)} {
			o, err := parse(args)
			if err != nil || !c.want(o) || o.launcher.Cluster != "Cloud" || o.launcher.ConfigFile != "/etc/rstudio/launcher.cloud.conf" {
				t.Errorf("%q %s the Launcher's: %+v, %v", c.args, what, o, err)
			}
		}
	}
	if o, err := parse([]string{"accounts", "--config-file=/x"}); err != nil || !o.accounts || o.launcher.ConfigFile != "/x" {
		t.Errorf("accounts: %+v, %v", o, err)
	}
}

// Who does not know how to start it is told.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "--config-file"},
		{[]string{"--plugin-name=EC2"}, "--config-file"},
		{[]string{"-h"}, "accounts --config-file=/etc/rstudio/launcher.ec2.conf"},
		{[]string{"--help", "-fake"}, "-image"},
		{[]string{"-fake", "-docker"}, "not both"},
		{[]string{"-fake=perhaps"}, "perhaps"},
		{[]string{"-fake", "-users"}, "users"},
		{[]string{"accounts"}, "--config-file"},
		{[]string{"accounts", "-fake"}, "a domain that lasts"},
	} {
		_, err := parse(c.args)
		if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "\nFlags:\n") {
			t.Errorf("%q: %v; want the usage, and %q", c.args, err, c.says)
		}
	}
}

// TestFlagsOfLauncher: a plugin starts whatever a Launcher passes, and takes from that
// what it knows.
func TestFlagsOfLauncher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := parse(append([]string{"-fake", "-users", "alice"}, fromLauncher...))
		if err != nil {
			t.Fatal(err)
		}
		l := positlaunchertest.Connect(t, positlaunchertest.InProcess(t, func(ctx context.Context, in io.Reader, out io.Writer) error {
			return serve(ctx, o, in, out)
		}), positlaunchertest.Options{Heartbeat: time.Second})
		if err := l.Bootstrap(); err != nil {
			t.Fatal(err)
		}
		c := l.As("alice")
		if info, err := c.ClusterInfo(); err != nil || !slices.Equal(info.Images, []string{"jobs"}) {
			t.Errorf("%+v, %v", info, err)
		}
		if job, err := c.Submit(wire.Job{Name: "n", Exe: "say", Args: []string{"hello"}}); err != nil || job.Cluster != "Cloud" {
			t.Errorf("%+v, %v", job, err)
		}
	})
}
