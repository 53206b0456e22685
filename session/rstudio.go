package session

import _ "embed"

// RStudioEntrypoint is a POSIX shell script, the entrypoint of an image for
// [RStudio], with or without an init process above it. An image copies it and
// gives it the server as arguments, which must stay in the foreground:
//
//	COPY --chmod=755 rstudio.sh /usr/local/bin/atelier-rstudio
//	ENTRYPOINT ["/usr/local/bin/atelier-rstudio"]
//	CMD ["/usr/lib/rstudio-server/bin/rserver", "--server-daemonize=0"]
//
// It needs Linux's /proc, and of programs df, find, mkdir, mv, sleep, wc and date.
//
// On SIGUSR1 it asks all R sessions of the container to suspend, waits for them,
// and confirms that each has written its state whole since it was asked; then it
// ends the server and itself with [RStudioSaved]. If one of that fails, it says
// why in one line on standard error that begins with [RStudioNotSaved], and goes
// on, the server too, and every R session that has not suspended. It waits for
// 110 seconds, or as many as ATELIER_SUSPEND_SECONDS says, which should be less
// than the Kind's SuspendGrace. An R session that computes suspends when it has
// finished, also after that. It is never forced to (SIGUSR2), as it would then
// end also where its state could not be written.
//
// On SIGTERM it ends the server and the R sessions, whose memory is lost, and
// itself with 0. When the server ends by itself it ends with the server's code,
// and with 1 if that is RStudioSaved.
//
// With [RStudioClean] set to 1 it moves the saved state of every R session aside
// before it starts the server, to atelier-set-aside in RStudio's data directory:
// for a state that cannot be restored. Nothing is deleted.
//
//go:embed rstudio.sh
var RStudioEntrypoint string

const (
	// RStudioSaved is the exit code by which [RStudioEntrypoint] confirms that
	// the state of all R sessions is on disk. It is beyond those that shells and
	// sysexits.h have a meaning for, and below those of signals.
	RStudioSaved = 80
	// RStudioNotSaved begins the line in which [RStudioEntrypoint] says why it
	// did not suspend.
	RStudioNotSaved = "atelier: not suspended: "
	// RStudioClean is the environment variable that makes [RStudioEntrypoint]
	// start without saved states, if it is 1.
	RStudioClean = "ATELIER_CLEAN"
)
