package positlaunchertest

import (
	"slices"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var clusterClauses = []clause{
	{name: "Cluster/Info", test: clusterInfo},
	{name: "Cluster/Nodes", test: clusterNodes},
	{name: "Cluster/Reload", test: clusterReload},
	{name: "Cluster/Metrics", test: clusterMetrics},
	{name: "Cluster/Heartbeat", test: clusterHeartbeat},
}

// What users choose from makes sense by itself.
func clusterInfo(r *run) {
	for _, c := range []Caller{r.user(), r.start().As(wire.All)} {
		info, err := c.ClusterInfo()
		if err != nil {
			r.Fatalf("ClusterInfo: %v", err)
		}
		if r.Image != "" {
			if !info.SupportsContainers {
				r.Error("jobs run in an image, and supportsContainers is false")
			}
			if !slices.Contains(info.Images, r.Image) && !info.AllowUnknownImages {
				r.Errorf("image %q is neither among the images %q, nor are unknown ones allowed", r.Image, info.Images)
			}
		}
		if info.DefaultImage != "" && !slices.Contains(info.Images, info.DefaultImage) {
			r.Errorf("the default image %q is not among the images %q", info.DefaultImage, info.Images)
		}
		if info.DefaultQueue != "" && !slices.Contains(info.Queues, info.DefaultQueue) {
			r.Errorf("the default queue %q is not among the queues %q", info.DefaultQueue, info.Queues)
		}
		seen := map[string]bool{}
		for _, p := range info.ResourceProfiles {
			if seen[p.Name] {
				r.Errorf("there are two resource profiles %q", p.Name)
			}
			seen[p.Name] = true
		}
	}
}

func clusterNodes(r *run) {
	c := r.user()
	now := wire.At(time.Now())
	if err := c.SetNodes(wire.Node{Host: "a", IPv4: "10.0.0.1", Port: "5559", LastSeen: now, Status: "Online"}, wire.Node{Host: "b", Status: "Offline"}); err != nil {
		r.Errorf("SetLoadBalancerNodes: %v", err)
	}
	if err := c.SetNodes(); err != nil {
		r.Errorf("SetLoadBalancerNodes with none: %v", err)
	}
}

func clusterReload(r *run) {
	reload, err := r.user().Reload()
	if err != nil || reload.ErrorType != wire.Reloaded || reload.ErrorMessage != "" {
		r.Errorf("ConfigReload: error type %d %q, %v; want 0 and no message", reload.ErrorType, reload.ErrorMessage, err)
	}
}

// Metrics come unasked, and again.
func clusterMetrics(r *run) {
	l := r.start("--plugin-metrics-interval-seconds=1")
	if !r.look(r.Limits.Output, func() bool { return l.Metrics() >= 2 }) {
		r.Errorf("%d messages of metrics in %v; want one each second", l.Metrics(), r.Limits.Output)
	}
}

// A sign of life is given also before Bootstrap.
func clusterHeartbeat(r *run) {
	l := r.launch(Options{Heartbeat: 200 * time.Millisecond})
	if !r.look(r.Limits.Answer, func() bool { return len(l.Heartbeats()) >= 3 }) {
		r.Fatalf("%d heartbeats were answered before Bootstrap", len(l.Heartbeats()))
	}
	if err := l.Bootstrap(); err != nil {
		r.Fatal(err)
	}
	before := len(l.Heartbeats())
	if !r.look(r.Limits.Answer, func() bool { return len(l.Heartbeats()) >= before+3 }) {
		r.Errorf("%d heartbeats were answered after Bootstrap", len(l.Heartbeats())-before)
	}
}
