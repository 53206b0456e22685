// Package positlaunchertest is the Launcher's side of Posit Workbench's protocol for
// launcher plugins, and the contract of a plugin as tests. It needs nothing of this
// library but the messages in package wire, so that it tests any plugin: one that is a
// function in the test's own process, or an executable.
//
//	func TestPlugin(t *testing.T) {
//		positlaunchertest.Suite{
//			RealTime: true,
//			New: func(testing.TB) positlaunchertest.Harness {
//				return positlaunchertest.Harness{
//					Start: func(t testing.TB, args ...string) positlaunchertest.Plugin {
//						return positlaunchertest.Command(t, exec.Command("./plugin", args...))
//					},
//					User: "alice", OtherUser: "bob", Image: "busybox:1.36",
//				}
//			},
//		}.Run(t)
//	}
//
// Each clause is a subtest of its own, named for it ("Control/KillAfterStop"). It runs
// in a testing/synctest bubble on virtual time, or on the wall clock for plugins that
// need one. What a cluster cannot do is said in its [Harness], and skipped.
//
// The clauses are those of the conformance tests in Posit's posit-dev/launcher-go-sdk
// (package conformance) and of what those leave out: the wire itself, in whole and in
// pieces, with messages that are too large, broken or of the future; who may see and
// control whose jobs; which fields come back, and as they were; standard input,
// environment and arguments; all of a job's output; streams that are canceled, read
// slowly, or twice; several plugins on one cluster, and those that come after others;
// the end of input with streams open; and signs of life while jobs start slowly.
//
// Beside the clauses, a [Launcher] checks every message that arrives, in a table of
// its own: that the fields that must be there are, and are what they must be; that no
// list is null; that responses are numbered upwards, and each request is answered
// once; that the messages of a stream are numbered from 1 without a gap, and none
// comes after its end, or after a cancel but one that was on its way; that a job that
// has ended stays as it is; and that every heartbeat is answered before the next. It
// can be used alone, for tests and measurements of one's own.
//
// What the closed Launcher does beyond Posit's published SDKs is not known here, and
// nothing of this was tried with it.
package positlaunchertest
