package positlaunchertest

import (
	"slices"
	"sync"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var loadClauses = []clause{
	{name: "Load/SlowStart", test: loadSlowStart, needs: needsSlow},
	{name: "Load/Heartbeats", test: loadHeartbeats},
	{name: "Load/DoesNotWait", test: loadDoesNotWait, needs: needsSlow},
}

// While jobs take their time to start, each heartbeat is answered in its second.
func loadSlowStart(r *run) {
	c := r.user()
	s := r.statuses(c, wire.All)
	job := r.submit(c, r.Jobs.Long())
	// A second job begins its life while the first waits.
	r.output(c, job.ID, nil)
	second := r.submit(c, r.Jobs.Quick())
	r.running(c, job.ID)
	r.final(s, second.ID)
	if n := len(c.l.Heartbeats()); n == 0 {
		r.Error("no heartbeat was answered while jobs started: they did not start slowly")
	}
}

// However much is asked, a heartbeat is answered.
func loadHeartbeats(r *run) {
	l := r.launch(Options{Heartbeat: 100 * time.Millisecond})
	if err := l.Bootstrap(); err != nil {
		r.Fatal(err)
	}
	c := l.As(r.User)
	r.statuses(c, wire.All)
	var jobs []wire.Job
	var work sync.WaitGroup
	busy := make(chan struct{})
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-busy:
					return
				default:
				}
				if _, err := c.Jobs(Query{Tags: []string{r.tag}}); err != nil {
					r.Errorf("listing jobs: %v", err)
					return
				}
				if !r.realTime { // virtual time stands still while somebody works
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	for range 20 {
		jobs = append(jobs, r.submit(c, r.Jobs.Quick()))
	}
	enough := r.look(r.Limits.Complete, func() bool { return len(l.Heartbeats()) >= 30 })
	close(busy)
	work.Wait()
	beats := l.Heartbeats()
	if !enough {
		r.Fatalf("%d heartbeats were answered in %v; want one each 100ms", len(beats), r.Limits.Complete)
	}
	for _, job := range jobs {
		r.ended(c, job.ID)
	}
	slices.Sort(beats)
	p99 := beats[len(beats)*99/100]
	r.Logf("%d heartbeats: half in %v, 99 of 100 in %v", len(beats), beats[len(beats)/2], p99)
	if p99 > r.Limits.Heartbeat {
		r.Errorf("99 of 100 heartbeats are answered in %v; want %v", p99, r.Limits.Heartbeat)
	}
}

// A request that takes its time holds up no other.
func loadDoesNotWait(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Long())
	r.output(c, job.ID, nil)
	r.statuses(c, job.ID)
	begun := time.Now()
	r.list(c, Query{})
	if got := r.get(c, job.ID); got.Status != wire.Pending || time.Since(begun) > time.Second {
		r.Errorf("after %v of waiting for an answer the job is %s; want an answer at once", time.Since(begun), got.Status)
	}
}
