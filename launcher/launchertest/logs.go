package launchertest

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

var logsClauses = []clause{
	{name: "Logs/Exact", test: logsExact},
	{name: "Logs/Streams", test: logsStreams},
	{name: "Logs/Offset", test: logsOffset},
	{name: "Logs/Follow", test: logsFollow},
	{name: "Logs/FollowFromLaunch", test: logsFollowFromLaunch},
	{name: "Logs/FollowToTheEnd", test: logsFollowToTheEnd},
	{name: "Logs/SoFar", test: logsSoFar},
	{name: "Logs/EndsWithContext", test: logsEndsWithContext},
}

func logsExact(r *run) {
	const n = 300_000
	w := r.workload("a", "spam", fmt.Sprint(n))
	r.launch(w)
	r.exitCode(w.ID, 0)
	for _, stream := range []launcher.Stream{launcher.Stdout, launcher.Both} {
		if got := r.output(w.ID, stream); got != string(behave.Pattern(n)) {
			r.Errorf("stream %d is %d bytes, or others than the %d that were written", stream, len(got), n)
		}
	}
}

func logsStreams(r *run) {
	w := r.workload("a", "say", "one", ";", "complain", "two", ";", "say", "three")
	r.launch(w)
	r.exitCode(w.ID, 0)
	for stream, want := range map[launcher.Stream]string{launcher.Stdout: "one\nthree\n", launcher.Stderr: "two\n"} {
		if got := r.output(w.ID, stream); got != want {
			r.Errorf("stream %d is %q; want %q", stream, got, want)
		}
	}
	// Engines read the streams from two pipes: their order is not certain.
	both := r.output(w.ID, launcher.Both)
	if rest := strings.Replace(both, "two\n", "", 1); rest != "one\nthree\n" || len(both) != len("one\ntwo\nthree\n") {
		r.Errorf("both streams together are %q; want each line once", both)
	}
}

func logsOffset(r *run) {
	const n = 1000
	w := r.workload("a", "spam", fmt.Sprint(n))
	r.launch(w)
	r.exitCode(w.ID, 0)
	all := string(behave.Pattern(n))
	for _, follow := range []bool{false, true} {
		for _, offset := range []int{0, 1, n / 2, n - 1, n, n + 1} {
			got := r.read(w.ID, launcher.LogOptions{Stream: launcher.Stdout, Offset: int64(offset), Follow: follow})
			if want := all[min(offset, n):]; got != want {
				r.Errorf("from offset %d, follow %v: %d bytes, or others than the last %d", offset, follow, len(got), len(want))
			}
		}
	}
}

func logsFollow(r *run) {
	w := r.workload("a", "say", "begun", ";", "trap", "SIGTERM", "0")
	r.start(w, "begun")
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	logs, err := r.Launcher.Logs(ctx, w.ID, launcher.LogOptions{Stream: launcher.Stdout, Follow: true})
	if err != nil {
		r.Fatal(err)
	}
	defer logs.Close()
	first := make([]byte, len("begun\ntrapped\n"))
	if _, err := io.ReadFull(logs, first); err != nil || string(first) != "begun\ntrapped\n" {
		r.Errorf("following gives %q, %v before the exit", first, err)
	}
	r.stop(w.ID, launcher.StopOptions{})
	if rest, err := io.ReadAll(logs); err != nil || len(rest) > 0 {
		r.Errorf("following the exit gives %q, %v; want io.EOF", rest, err)
	}
}

func logsFollowFromLaunch(r *run) {
	w := r.workload("a", "say", "hello")
	r.launch(w)
	if got := r.output(w.ID, launcher.Both); got != "hello\n" {
		r.Errorf("followed from its Launch, the logs are %q; want %q", got, "hello\n")
	}
	r.exitCode(w.ID, 0)
}

// What is written last, and is no whole line, belongs to what is followed.
func logsFollowToTheEnd(r *run) {
	const text = "no newline"
	for i := range 5 { // engines were seen to lose it by chance
		w := r.workload(fmt.Sprintf("a-%d", i), "spin", "30ms", ";", "echo")
		w.Stdin = []byte(text)
		r.launch(w)
		if got := r.output(w.ID, launcher.Stdout); got != text {
			r.Errorf("followed to the end, the logs are %q; want %q", got, text)
		}
		r.exitCode(w.ID, 0)
	}
}

func logsSoFar(r *run) {
	w := r.workload("a", "say", "begun", ";", "wait")
	r.start(w, "begun")
	if got := r.read(w.ID, launcher.LogOptions{}); got != "begun\n" {
		r.Errorf("the logs so far are %q; want %q and the end", got, "begun\n")
	}
}

func logsEndsWithContext(r *run) {
	w := r.workload("a", "wait")
	r.start(w, "")
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	logs, err := r.Launcher.Logs(ctx, w.ID, launcher.LogOptions{Follow: true})
	if err != nil {
		r.Fatal(err)
	}
	defer logs.Close()
	cancel()
	_, err = logs.Read(make([]byte, 1))
	r.wantCanceled("Read of followed logs", err)
}
