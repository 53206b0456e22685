package positlaunchertest_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/workbench/positlauncher/positlaunchertest"
)

// flaws are what a plugin may do wrong, and the clause that has to say so.
var flaws = map[string]string{
	"no older version":                  "Wire/OlderLauncher",
	"any version will do":               "Wire/OtherVersion",
	"responses have no numbers":         "Wire/Bootstrap",
	"exact reads":                       "Wire/Fragments",
	"answers twice":                     "Wire/Bootstrap",
	"requests are lost":                 "Wire/ManyAtOnce",
	"no unknown type":                   "Wire/UnknownType",
	"no unknown field":                  "Wire/UnknownFields",
	"dies of bad JSON":                  "Wire/BadJSON",
	"bad fields are passed over":        "Wire/BadField",
	"dies of size":                      "Wire/TooLarge",
	"output types are texts":            "Wire/OutputTypes",
	"times have zones":                  "Wire/Times",
	"no unknown stream":                 "Wire/CancelsUnknown",
	"fails at the end of input":         "Exit/EndOfInput",
	"waits for Bootstrap":               "Exit/BeforeBootstrap",
	"waits for the rest":                "Exit/WithinMessage",
	"streams hold the end up":           "Exit/OpenStreams",
	"SIGTERM is ignored":                "Exit/SIGTERM",
	"limits have no type":               "Cluster/Info",
	"the default image is no image":     "Cluster/Info",
	"nodes are refused":                 "Cluster/Nodes",
	"nothing is reloaded":               "Cluster/Reload",
	"no metrics":                        "Cluster/Metrics",
	"metrics are numbered":              "Cluster/Metrics",
	"no heartbeat before Bootstrap":     "Cluster/Heartbeat",
	"same ID":                           "Submit/ID",
	"no submission time":                "Submit/Time",
	"submit waits":                      "Submit/Status",
	"instanceId is lost":                "Submit/Keeps",
	"metadata is lost":                  "Submit/Keeps",
	"tags are tidied":                   "Submit/Keeps",
	"the user is not set":               "Submit/User",
	"nobody has jobs":                   "Submit/NoUser",
	"the image is lost":                 "Submit/Image",
	"jobs come later":                   "Jobs/ByID",
	"a missing job is no error":         "Jobs/NotFound",
	"lists come later":                  "Jobs/ByTag",
	"any tag will do":                   "Jobs/ByTag",
	"any status will do":                "Jobs/ByStatus",
	"any time will do":                  "Jobs/ByTime",
	"lists are null":                    "Jobs/None",
	"all fields are told":               "Jobs/Fields",
	"foreign jobs are found":            "Users/Foreign",
	"foreign streams are open":          "Users/ForeignStreams",
	"lists are of all":                  "Users/OwnList",
	"streams are of all":                "Users/OwnStream",
	"administrators see nothing":        "Users/Administrator",
	"exit code is lost":                 "Process/ExitCode",
	"stdin is trimmed":                  "Process/Stdin",
	"stdin is never empty":              "Process/NoStdin",
	"the environment is lost":           "Process/Environment",
	"the directory is lost":             "Process/Directory",
	"arguments are split":               "Process/Args",
	"exited jobs have failed":           "Lifecycle/Ends",
	"regresses":                         "Lifecycle/StaysEnded",
	"pending says nothing":              "Lifecycle/SaysWhy",
	"stopped is killed":                 "Control/Stop",
	"killed is finished":                "Control/Kill",
	"a stop kills":                      "Control/KillAfterStop",
	"a cancel does nothing":             "Control/CancelPending",
	"running jobs are canceled":         "Control/CancelRunning",
	"ended jobs are controlled":         "Control/Ended",
	"what there is not is stopped":      "Control/NotFound",
	"any operation will do":             "Control/Unknown",
	"all jobs are controlled":           "Control/All",
	"anything is resumed":               "Control/SuspendResume",
	"running is not told":               "Status/One",
	"names are not told":                "Status/One",
	"streams are named twice":           "Status/One",
	"ended jobs are not told":           "Status/Ended",
	"streams of all end at what is":     "Status/All",
	"streams count together":            "Status/Two",
	"streams go on":                     "Status/Cancel",
	"updates are lost":                  "Status/SlowReader",
	"streams are mixed":                 "Output/Separate",
	"nothing is written on both":        "Output/Both",
	"output comes at the end":           "Output/Follows",
	"characters are cut":                "Output/Big",
	"output is never complete":          "Output/Ended",
	"output goes on":                    "Output/Ended",
	"pending jobs have no output":       "Output/Pending",
	"output is complete too early":      "Output/Pending",
	"output is told once":               "Output/Two",
	"canceled output goes on":           "Output/Cancel",
	"output is dropped":                 "Output/SlowReader",
	"nothing is used":                   "Utilization/Values",
	"use is never complete":             "Utilization/Values",
	"use goes on":                       "Utilization/Cancel",
	"ended jobs hold their use":         "Utilization/Ended",
	"pending jobs have a network":       "Network/Pending",
	"ended jobs have a network":         "Network/Ended",
	"nobody listens":                    "Network/Reachable",
	"a cluster of its own":              "Shared/Seen",
	"each controls its own":             "Shared/Controlled",
	"streams are of one's own":          "Shared/Streams",
	"its end is the jobs'":              "Restart/Recovers",
	"killed, it takes its jobs with it": "Restart/Killed",
	"what is pending goes with it":      "Restart/Pending",
	"heartbeats wait":                   "Load/SlowStart",
	"heartbeats take their time":        "Load/Heartbeats",
	"one at a time while a job starts":  "Load/DoesNotWait",
	"streams do not say why":            "Lifecycle/SaysWhy",
}

// Each flaw is found by its clause, and each clause that can be run here finds one.
func TestFindsFlaws(t *testing.T) {
	for flaw, clause := range flaws {
		t.Run(strings.ReplaceAll(clause, "/", ".")+"/"+flaw, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if r := try(t, flaw, clause); !r.Failed() {
					t.Errorf("%s passes on a plugin of which %q is true", clause, flaw)
				} else {
					t.Logf("%s", strings.Join(r.said, "\n"))
				}
			})
		})
	}
	var found []string
	for _, clause := range flaws {
		found = append(found, clause)
	}
	for _, clause := range positlaunchertest.Clauses() {
		if !slices.Contains(found, clause) && clause != "Process/Shell" { // which has no shell in memory
			t.Errorf("no flaw shows that %s finds any", clause)
		}
	}
}

// try runs a clause on a plugin with a flaw.
func try(t *testing.T, flaw, clause string) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.end()
		s := positlaunchertest.Suite{New: func(t testing.TB) positlaunchertest.Harness { return harness(t, flaw) }}
		s.Clause(r, clause)
	}()
	<-done
	return r
}

// A recorder is a test that may fail.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	said     []string
	cleanups []func()
}

func (r *recorder) say(failed bool, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	r.said = append(r.said, text)
}

func (r *recorder) Helper()                           {}
func (r *recorder) Log(args ...any)                   { r.say(false, fmt.Sprint(args...)) }
func (r *recorder) Logf(format string, args ...any)   { r.say(false, fmt.Sprintf(format, args...)) }
func (r *recorder) Error(args ...any)                 { r.say(true, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.say(true, fmt.Sprintf(format, args...)) }
func (r *recorder) Fail()                             { r.say(true, "Fail") }
func (r *recorder) FailNow()                          { r.Fail(); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fatalf(f string, args ...any)      { r.Errorf(f, args...); runtime.Goexit() }
func (r *recorder) Skip(args ...any)                  { r.Log(args...); runtime.Goexit() }
func (r *recorder) Skipf(f string, args ...any)       { r.Logf(f, args...); runtime.Goexit() }
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// end does what a test does at its end.
func (r *recorder) end() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}
