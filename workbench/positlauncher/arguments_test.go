package positlauncher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher"
)

func ExampleParseArguments() {
	a := positlauncher.ParseArguments([]string{
		"--enable-debug-logging=0", "--job-expiry-hours=48", "--heartbeat-interval-seconds=5",
		"--plugin-name", "EC2", "--plugin-metrics-interval-seconds=0", "--of-a-later-version",
	})
	c := a.Apply(positlauncher.Config{})
	fmt.Println(c.Cluster, c.JobExpiry, c.MetricsInterval < 0)
	// Output: EC2 48h0m0s true
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		want positlauncher.Arguments
	}{
		{nil, positlauncher.Arguments{}},
		{[]string{"--enable-debug-logging", "--plugin-name=A"}, positlauncher.Arguments{Debug: true, Cluster: "A"}},
		{[]string{"-enable-debug-logging=true", "stray", "--scratch-path=/x"}, positlauncher.Arguments{Debug: true, ScratchPath: "/x"}},
		{[]string{"--job-expiry-hours=never", "--max-message-size=-3", "--config-file=/etc/x=y"}, positlauncher.Arguments{ConfigFile: "/etc/x=y"}},
		{[]string{"--max-message-size=5242880", "--plugin-metrics-interval-seconds=60"}, positlauncher.Arguments{MaxMessage: 5242880, MetricsInterval: time.Minute}},
		{[]string{"--job-expiry-hours=99999999999999999999"}, positlauncher.Arguments{}},
		{[]string{"--job-expiry-hours"}, positlauncher.Arguments{}},
	} {
		if got := positlauncher.ParseArguments(c.args); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.args, got, c.want)
		}
	}
	// What a program sets itself counts for more.
	set := positlauncher.Config{Cluster: "mine", JobExpiry: time.Hour, MetricsInterval: time.Second, MaxMessage: 1}
	got := positlauncher.Arguments{Cluster: "A", JobExpiry: 1, MetricsInterval: 1, MaxMessage: 2}.Apply(set)
	if got.Cluster != "mine" || got.JobExpiry != time.Hour || got.MetricsInterval != time.Second || got.MaxMessage != 1 {
		t.Errorf("%+v", got)
	}
}
