// Package session runs the sessions of a domain: one IDE or job of one user
// each, as a container that a launcher runs, with the user's home mounted.
//
// A [Manager] starts, suspends, resumes, stops and kills sessions. A call records what
// is wanted and returns; [Manager.Run] brings it about, and goes on after any
// crash where the last one stopped. Whatever happens, a session has at most one
// live container: each start and each resume is a new generation, and the old
// one's container has ended, for certain, before the next is launched.
//
// Start, Suspend, Resume, Stop, Kill, Keep, Report, Offboard, Wait and Watch need a Run of
// their Manager in this process, and are [ErrNotRunning] without. The others need none.
//
// [Manager.Offboard] ends a user's membership with their sessions, and
// [Manager.DeleteDomain] a domain without sessions; their previews tell what
// they would do. [Manager.DeleteHome] deletes the home of a user who has left.
// Nothing else in this library removes a file of theirs.
//
// # Files
//
// A session has its user's home at HOME, what it was started with of the
// domain's projects below /projects, and of the mounts in the domain's policy
// below /mnt. Its process is the user's uid and gid with the gid of each project,
// and no other. Resumed, it has the same projects and mounts, if the user still
// may have each: access is decided anew, and what a mount is, as well.
//
// # States
//
// Of what is seen at the launcher, "accepted" means that it has the workload,
// "runs" that its process runs and its program serves ([Kind.Ready]), "notice" that AWS has said when it takes the
// host back, "exited" that it is gone of itself or as asked, "interrupted" that
// it is gone because AWS took the host back, "failed" that it is gone for
// another reason the launcher gives, "refused" that it will never run. "Resume
// failed" stands for the last two and for the deadline where the session was
// resumed: it is suspended again. "Not saved" is that a program was asked to save
// its state and has not by the deadline: it goes on, and the session says why; if
// it has "saved late", it is suspended after all. "Times out" is that nobody uses
// it or that its time is up, by the rules of the domain, "for good" where it is then
// stopped. "Goes on" is what the manager does of itself after an interruption. A
// dash means that nothing changes, [ErrState] that the caller is refused. Every
// transient state has a deadline, a field of [Deadlines], and a way out. Where the
// result is "kill", the container is ended by force and the state lasts as long
// again; "after kill" is that this has not helped by then. A caller's Kill does that
// once, wherever there may be a container, and leads to stopping.
//
//	event               pending     starting    running     suspending  suspended  stopping  stopped   failed
//	Suspend             suspending  suspending  suspending  -           -          ErrState  ErrState  ErrState
//	Resume              -           -           -           ErrState    pending    ErrState  ErrState  ErrState
//	Stop                stopping    stopping    stopping    stopping    stopped    -         -         -
//	Kill                stopping    stopping    stopping    stopping    stopped    kill      -         -
//	accepted            starting    -           -           -           -          -         -         -
//	runs                running     running     -           -           -          -         -         -
//	notice              -           -           suspending  -           -          -         -         -
//	exited              stopped     stopped     stopped     suspended   -          stopped   -         -
//	interrupted         suspended   suspended   suspended   suspended   -          stopped   -         -
//	failed              failed      failed      failed      suspended   -          stopped   -         -
//	refused             failed      failed      -           -           -          -         -         -
//	deadline            failed      failed      -           kill        -          kill      -         -
//	after kill          failed      failed      -           failed      -          failed    -         -
//	saved late          -           -           suspended   -           -          -         -         -
//	resume failed       suspending  suspending  -           -           -          -         -         -
//	not saved           -           -           -           running     -          -         -         -
//	times out           -           -           suspending  -           -          -         -         -
//	times out for good  -           -           stopping    -           -          -         -         -
//	goes on             -           -           -           -           pending    -         -         -
//	lasts at most       Pending     Starting    -           Suspending  -          Stopping  -         -
//
// A session that Failed because its container could not be confirmed to have
// ended keeps being worked for until that is so. A container that no session
// wants is stopped after a minute.
//
// A host that does not answer never ends a session: it is [Session.Unreachable]
// until the launcher knows more.
//
// # Money
//
// A session is charged to its user, to the group whose policy allowed it
// ([Session.Group]), to the project that it names ([StartRequest.ChargeTo]) and to the
// domain; see package domain. It is held to their limits when it starts and when it
// is resumed, which [Manager.Quote] and [Manager.QuoteResume] tell of before. What a
// generation cost is settled to the second once its container has ended for certain
// ([Session.Settled], [Session.Spent]); what has come up so far is [Session.Cost].
//
// # How a start comes on
//
// [Session.Timeline] tells when each stage of a start was reached, on which type
// of host and in which zone; it is part of the session's record, of the last
// generation alone. While a session starts, its Message says what it waits for. When
// it is ready, that is logged once with all of it:
//
//	queued 0s, host 41s (m5.xlarge in us-east-1a), boot 58s, pull 1m20s, mount 1m21s, began 1m22s, ready 1m25s
//
// # Metrics
//
// With [Config.MeterProvider] a manager measures itself through OpenTelemetry's API.
// Sessions are counted while Run is active, each by the manager that works for it,
// so that managers add up. All else is counted where it happens. Nothing is
// kept: what a process counted is gone with it, and the accounts of the domain
// are what was spent. The attribute atelier.domain, which all have, is left out here;
// atelier.event is of the table above, atelier.stage of the timeline, atelier.outcome
// "ready", "failed", "interrupted" or "stopped"; error.type is the kind of what went
// wrong, and absent otherwise. A stage in which a start ended without being ready has
// that outcome, those before it "ready". A stage that is not known is part of the next.
//
//	instrument                            kind       unit          attributes                                              what
//	atelier.sessions                      up-down    {session}     atelier.kind, atelier.state                             sessions that this manager works for
//	atelier.session.cost.rate             up-down    {USD}/h       atelier.kind                                            what those of them that run are charged an hour
//	atelier.session.cost                  counter    {USD}         atelier.kind                                            what was charged when generations had ended
//	atelier.session.requests              counter    {request}     atelier.operation, error.type                           what callers asked for, done or refused
//	atelier.session.transitions           counter    {transition}  atelier.kind, atelier.event, atelier.state, error.type  changes of state: event, new state, reason
//	atelier.session.start.duration        histogram  s             atelier.kind, atelier.outcome, error.type               from a start or resume to its outcome
//	atelier.session.start.stage.duration  histogram  s             atelier.stage, atelier.outcome                          of that, in each stage
//	atelier.session.launcher.duration     histogram  s             atelier.operation, error.type                           calls of the launcher
//	atelier.session.failures              counter    {failure}     atelier.operation, error.type                           steps that failed, mostly for the store, and are repeated
//	atelier.session.managers              gauge      {manager}     -                                                       managers among which the sessions are shared, as this one sees it
//	atelier.session.manager.changes       counter    {change}      -                                                       times that this manager's part has changed, as others came or went
//
// # Interruptions
//
// AWS takes a host that was bought on the spot market back when it needs it, and
// says so two minutes ahead. A session that Runs is then suspended at once, with
// [launcher.ErrInterrupted] as its Reason, its grace no longer than the host
// lasts. One whose host was taken without a word is Suspended, too, and not
// Failed. When its container has ended for certain, such a session is resumed by
// itself, as a next generation on what it had, if the domain still allows that;
// if not, it stays Suspended and its Message says why. From there on it is a start
// like any other, with its deadline: one that takes spot alone may find none and
// is then suspended again; [launcher.SpotOrOnDemand] does not. [StaySuspended] leaves
// that to the user, and a Suspend, Resume, Stop or Kill of theirs always counts for
// more. One that is interrupted again and again before it has run for ten
// minutes is resumed after a pause, which grows to 30 seconds.
//
// # Credentials
//
// A session that is started with a role acts in AWS as that, if the domain's
// policy lists it: its container is given the address of a handler of ours,
// [Config.CredentialsURL], and a token, and the SDKs in it ask there by
// themselves. Package session/credentials is the handler. The token is drawn
// anew for each generation, kept in the session's record, and works from the
// time the generation is starting until it has ended: [Manager.Principal]. A
// session without a role has no credentials.
//
// # Browsers
//
// Package session/proxy is the handler through which a portal serves sessions. It
// reports their use ([Manager.Report]); a caller with a proxy of its own does that
// itself, over [Manager.Dial], and leaves out what is [Background].
package session
