// Package positlauncher makes a domain's sessions a cluster of Posit Workbench: it
// is a launcher plugin, which Workbench's Job Launcher starts and asks for jobs. The
// users' RStudio, Jupyter, VS Code and Positron sessions and their Workbench Jobs then
// run as sessions of a [session.Manager], on EC2 instances that are there for as long
// as there is something to run, without Kubernetes or Slurm.
//
//	in, out, err := positlauncher.Stdio()
//	...
//	go manager.Run(ctx)
//	err = positlauncher.Serve(ctx, in, out, manager, positlauncher.Config{Cluster: "EC2"})
//
// A job is a session, so that the domain's policy, its limits and budgets, homes and
// the audit record hold as everywhere. Sessions that were started otherwise are no
// jobs, and the Launcher is not told of them. All state is in the domain's store: any
// number of plugins, on one node or several, tell of the same jobs, and one that is
// started anew of those of before. What another process has submitted is in lists two
// seconds later at most, and found by its ID at once.
//
// # What a job becomes
//
// Its user is the one of the domain with that login ([domain.User]), as whom it runs,
// whatever uid it asks for: one that is another is refused, as the accounts of the
// Workbench host then do not fit the homes. The home is at /home/ and the login. Whose
// login is changed has jobs by the new one from then on, and those of before are told
// of by the old.
//
//	resourceProfile       a Profile of Config, or the instance type of that name: all of a host;
//	                      limits beside it count for nothing, and are not told again
//	"custom", or none     cpuCount, memory (MB) and NVIDIA GPUs on the cheapest type with room for it
//	container.image       an image of the domain, by name or reference; none is the default one
//	command, exe, args    in the place of the image's entry point and command
//	stdin                 written to its standard input, which then ends
//	environment           beside HOME, USER and LOGNAME, which are set
//	exposedPorts          TCP, at a port of the host of the same number, or publishedPort: on a host
//	                      where it is free
//	mounts                the home, /projects/ and a project of the domain, /mnt/ and a mount of its policy:
//	                      the path says which, and what it is of and whether it may be written the domain:
//	                      what its policy has as read-only is so also without readOnly, and readOnly of
//	                      anything else is refused, as it would not hold
//	placementConstraints  market: on-demand, spot or spot-or-on-demand
//	instanceId, tags, metadata, name and all else are told again as they came
//
// What would change what runs and cannot be had is refused with one error that names
// all of it: queues, config, init containers, capabilities, other mounts and
// constraints, ports that are not TCP. These are taken and do nothing: stdoutFile and
// stderrFile, since what a job writes is kept where it runs and told on demand; host;
// supplemental groups, which come from the projects. Standard input and environment,
// which may be secret, are not told again.
//
// # What becomes of a job
//
//	Pending    until it runs and, if it has ports, the first of them takes a connection; its
//	           message says what it waits for
//	Running    also while it is asked to end, or to suspend
//	Suspended  by the Launcher, and resumed by it, on a host of the same type, from its command on
//	Finished   with its exit code, whatever that is; 143 if it was stopped and did as SIGTERM bids
//	Killed     by force (137), or lost with its host, to lack of memory, or to AWS that took its host back
//	Failed     it never ran; its message says why
//	Canceled   it was withdrawn before it ran
//
// The domain's rules for what nobody uses ([domain.Policy], Idle) hold for jobs of the
// kinds "workbench", which have ports, and "job". Used is what this machine, where
// Workbench is, has a connection to, and what computes. The time-outs of the editors
// (RStudio of package workbench and others) know more, and save what RStudio has in memory.
//
// A job that the domain ends, as nobody uses it or its time is up, ends for good:
// Workbench starts another where a session is opened again. A job without ports is
// not suspended.
//
// # What a job writes
//
// What a job writes is kept by its host, the newest 80 to 100 MB of each run, and told
// from the first byte that is kept to whoever asks. Where the connection to the host
// breaks, it goes on where it was, which is found again by the 64 KiB before. Something
// is missing only where the job has written more than its host keeps before that answers
// again; a job that writes the same over and over may be told some of it twice.
//
// # What is not verified
//
// Workbench and its Launcher are licensed, and none of this was run with them. What
// they are known to do is in package wire and, from the outside, in
// positlaunchertest. Not known are: which form of outputType the Launcher sends (all
// are understood); whether Workbench follows a publishedPort that a job did not ask
// for; what it makes of a job that is Suspended; how long it waits for a job to run
// and for a port to answer; which arguments the newest Launcher passes; how large its
// megabytes are (10^6 bytes is assumed).
package positlauncher
