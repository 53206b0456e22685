#!/bin/sh
# The entrypoint of an image of RStudio Server, given the server and its
# arguments. RStudioEntrypoint in rstudio.go documents it; the constants are
# there, too, and a test holds the two together.
#
# What is said of RStudio is in its source: R sessions suspend on SIGUSR1
# (registerSignalHandlers in SessionMain.cpp, rstudio-server suspend-all), exit
# only if their state could be saved (suspend in RSuspend.cpp), and write the
# list of the search path after the variables (save in RSearchPath.cpp).
# shellcheck disable=SC2317 # traps call what seems not to be called
set -u

saved=80
not_saved='atelier: not suspended: '
limit=${ATELIER_SUSPEND_SECONDS:-110}

# As userDataDir in Xdg.cpp has it.
data=${RSTUDIO_DATA_HOME:-${XDG_DATA_HOME:-${HOME:?}/.local/share}/rstudio}
active=$data/sessions/active
state=suspended-session-data
server='' early='' savers='' turn=0

# rsessions sets pids to the living R sessions of the container, and kib to the
# memory they hold. What an R session has forked, as package parallel does, bears
# its name and is none.
rsessions() {
	found=''
	for status in /proc/[0-9]*/status; do
		name='' life='' pid='' parent='' rss=0
		{
			while read -r key value rest; do
				case $key in
				Name:) name=$value ;;
				State:) life=$value ;;
				Pid:) pid=$value ;;
				PPid:) parent=$value ;;
				VmRSS:) rss=$value ;;
				esac
			done <"$status"
		} 2>/dev/null # it may have ended since
		case $name.$life in
		rsession.Z | rsession.X) ;; # ended, and not waited for
		rsession.?) found="$found $pid.$parent.$rss" ;;
		esac
	done
	pids='' kib=0
	for one in $found; do
		pid=${one%%.*} rss=${one##*.} parent=${one#*.}
		case " $found" in
		*" ${parent%.*}."*) ;;
		*) pids="$pids $pid" kib=$((kib + rss)) ;;
		esac
	done
}

# living prints which of the R sessions asked still live.
living() {
	rsessions
	for was in $asked; do
		case " $pids " in
		*" $was "*) printf ' %s' "$was" ;;
		esac
	done
}

# refuse says why nothing is suspended, and what goes on.
refuse() {
	rsessions
	printf '%s%s; the server goes on, with R sessions:%s\n' "$not_saved" "$1" "${pids:- none}" >&2
	return 1
}

# save has the R sessions suspend, and returns 0 if all have. Its argument sets
# it apart from another one that is at work.
save() {
	rsessions
	[ -n "$pids" ] || return 0
	# A file beside the states: one clock tells the times of both.
	since=$active/.atelier-suspend-$1
	if ! { mkdir -p "$active" && printf '' >"$since"; } 2>/dev/null; then
		refuse "$active cannot be written to"
		return
	fi
	free=$(df -Pk "$active" 2>/dev/null | {
		read -r _
		read -r _ _ _ free _
		printf %s "$free"
	})
	case $free in
	'' | *[!0-9]*) ;; # not known: what was written counts
	*)
		# Assumed: a state is no larger than the memory it was in.
		if [ "$free" -lt "$kib" ]; then
			refuse "there are $free KiB free for the state of R sessions that hold $kib KiB"
			return
		fi
		;;
	esac
	sleep 1 # so that what is written now is newer, also where times are whole seconds
	rsessions
	asked='' count=0
	for pid in $pids; do
		if kill -s USR1 "$pid" 2>/dev/null; then
			asked="$asked $pid" count=$((count + 1))
		fi
	done
	waited=0
	while left=$(living) && [ -n "$left" ]; do
		if [ "$waited" -ge "$limit" ]; then
			refuse "R sessions$left have not suspended within $limit s, as they compute or could not save; those that compute will when they have finished"
			return
		fi
		sleep 1
		waited=$((waited + 1))
	done
	whole=$(find "$active" -path "*/$state/search_path/search_path_elements" -newer "$since" | wc -l)
	if [ "$whole" -lt "$count" ]; then
		refuse "$count R sessions have ended, but only $((whole)) of them wrote their state whole"
		return
	fi
}

# on_suspend is what SIGUSR1 does. It leaves the work to a process of its own: a
# shell that is in a trap may not look at other signals until it has left that.
on_suspend() {
	interrupted=1
	if [ -z "$server" ]; then
		early=1
		return 0
	fi
	turn=$((turn + 1))
	{
		if save "$turn"; then
			kill -s USR2 "$$"
		fi
		rm -f "$active/.atelier-suspend-$turn"
	} &
	savers="$savers $!"
}

# on_saved is what that process says with SIGUSR2 when all is saved. That comes
# from nobody else; if it does, it does no harm while an R session lives.
on_saved() {
	interrupted=1
	[ "$turn" -gt 0 ] || return 0
	rsessions
	if [ -n "$pids" ]; then
		refuse 'R sessions began meanwhile, or could not be asked'
		return 0
	fi
	kill -s TERM "$server" 2>/dev/null
	wait_for_server
	rsessions
	if [ -n "$pids" ]; then
		printf '%sR sessions began while the server ended, and end with it:%s\n' "$not_saved" "$pids" >&2
		exit 1
	fi
	exit "$saved"
}

# wait_for_server sets code to what the server ended with. A signal interrupts
# waiting, and what was waited for once is not known any more: 127.
wait_for_server() {
	code=''
	while :; do
		interrupted=''
		wait "$server"
		status=$?
		if [ -z "$code" ] || [ "$status" -ne 127 ]; then
			code=$status
		fi
		[ -n "$interrupted" ] || return 0
	done
}

# on_stop is what SIGTERM does.
on_stop() {
	interrupted=1
	trap '' USR1 USR2 TERM
	for pid in $savers; do
		kill -s TERM "$pid" 2>/dev/null
	done
	[ -n "$server" ] || exit 0
	kill -s TERM "$server" 2>/dev/null
	rsessions
	for pid in $pids; do
		kill -s TERM "$pid" 2>/dev/null
	done
	wait_for_server
	while rsessions && [ -n "$pids" ]; do
		sleep 1
	done
	exit 0
}

# set_aside moves the saved states to where RStudio does not look for them. It
# would remove what is left in a session's own directory with the session.
set_aside() {
	for from in "$active"/session-*/"$state"; do
		[ -e "$from" ] || continue
		session=${from%/"$state"}
		to=$data/atelier-set-aside/${session##*/}.$(date -u +%Y%m%dT%H%M%SZ)
		while [ -e "$to" ]; do
			to=$to.1
		done
		if ! { mkdir -p "$data/atelier-set-aside" && mv "$from" "$to"; }; then
			printf 'atelier: %s could not be set aside; nothing is started\n' "$from" >&2
			exit 1
		fi
		printf 'atelier: %s was set aside as %s\n' "$from" "$to" >&2
	done
}

trap on_suspend USR1
trap on_saved USR2
trap on_stop TERM
if [ "${ATELIER_CLEAN:-}" = 1 ]; then
	set_aside
fi
"$@" &
server=$!
if [ -n "$early" ]; then
	sleep 1 # what is sent to a process that has only just begun may get lost
	on_suspend
fi
wait_for_server
if [ "$code" -eq "$saved" ]; then
	code=1 # what this code confirms is not the server's to say
fi
exit "$code"
