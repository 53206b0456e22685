package positlauncher_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// onOneHost is a manager that runs jobs of many users on one host in memory, at once.
func onOneHost(b *testing.B) *session.Manager {
	b.Helper()
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	cloud, err := fakeaws.New(fakeaws.Config{})
	check(err)
	b.Cleanup(func() { _ = cloud.Close() })
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	check(err)
	d, err := domains.Create(b.Context(), domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID}})
	check(err)
	for n := range users {
		_, err = d.Onboard(b.Context(), domain.OnboardRequest{User: user(n)})
		check(err)
	}
	const image = "registry.example.com/jobs:1"
	_, err = cloud.PushImage(image, fakeaws.Image{Program: fake.Job})
	check(err)
	_, err = d.Attach(b.Context(), domain.AttachRequest{Name: "jobs", Reference: image})
	check(err)
	host, err := fakelauncher.New(fakelauncher.Config{
		Images: func(context.Context, string) (fakelauncher.Image, error) {
			return fakelauncher.Image{Program: fake.Job}, nil
		},
	})
	check(err)
	b.Cleanup(func() { host.Close() })
	m, err := session.New(d, host, session.Config{})
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() { _ = m.Run(ctx) })
	b.Cleanup(func() { cancel(); runs.Wait() })
	return m
}

const (
	users       = 100
	burst       = 10_000
	subscribers = 100
	beatEvery   = 5 * time.Millisecond
)

func user(n int) string { return fmt.Sprintf("user%d", n) }

// BenchmarkSubmits submits a burst of jobs of many users, each of which ends at once, while many
// streams are told of all statuses, until every stream has been told of every end. It
// reports how many jobs that were a second, and how long a heartbeat waited for its
// answer meanwhile.
func BenchmarkSubmits(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		m := onOneHost(b)
		in, to := io.Pipe()
		from, out := io.Pipe()
		ended := make(chan error, 1)
		b.StartTimer()
		begun := time.Now()
		go func() {
			ended <- positlauncher.Serve(b.Context(), in, out, m, positlauncher.Config{Cluster: "EC2", MetricsInterval: -1})
		}()

		var lock sync.Mutex // over to and beats
		var beats []time.Time
		write := func(request any) {
			frame, err := wire.Encode(request, 0)
			if err == nil {
				_, err = to.Write(frame)
			}
			if err != nil {
				b.Error(err)
			}
		}
		done := make(chan struct{})
		var senders sync.WaitGroup
		senders.Go(func() { // heartbeats
			for {
				select {
				case <-done:
					return
				case <-time.After(beatEvery):
				}
				lock.Lock()
				beats = append(beats, time.Now())
				lock.Unlock()
				write(map[string]any{"messageType": wire.HeartbeatRequest, "requestId": 0})
			}
		})
		senders.Go(func() {
			for n := range subscribers {
				write(map[string]any{"messageType": wire.JobStatusRequest, "requestId": 1 + n, "username": "*", "jobId": "*"})
			}
			for n := range burst {
				write(map[string]any{
					"messageType": wire.SubmitJobRequest, "requestId": 1000 + n, "username": user(n % users),
					"job": wire.Job{Name: "one", Exe: "say", Args: []string{"hello"}},
				})
			}
		})

		var waits []time.Duration
		told := 0
		for frames := wire.NewReader(bufio.NewReaderSize(from, 1<<20), 0); told < burst*subscribers; {
			frame, err := frames.Next()
			if err != nil {
				b.Fatal(err)
			}
			var r wire.JobStatus
			if err := json.Unmarshal(frame, &r); err != nil {
				b.Fatal(err)
			}
			switch {
			case r.Type == wire.HeartbeatResponse:
				lock.Lock()
				waits = append(waits, time.Since(beats[0]))
				beats = beats[1:]
				lock.Unlock()
			case r.Type == wire.ErrorResponse:
				b.Fatalf("%s", frame)
			case r.Type == wire.JobStatusResponse && r.Status == wire.Finished:
				told += len(r.Sequences)
			case r.Type == wire.JobStatusResponse && r.Status.Final():
				b.Fatalf("%s", frame)
			}
		}
		b.ReportMetric(burst/time.Since(begun).Seconds(), "jobs/s")
		b.StopTimer()
		close(done)
		go func() { _, _ = io.Copy(io.Discard, from) }()
		senders.Wait()
		_ = to.Close()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		slices.Sort(waits)
		b.ReportMetric(float64(waits[len(waits)*99/100])/1e6, "p99-beat-ms")
		b.StartTimer()
	}
}
