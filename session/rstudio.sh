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
server=''

# rsessions sets pids to the living R sessions of the container, and kib to the
# memory they hold.
rsessions() {
	pids='' kib=0
	for status in /proc/[0-9]*/status; do
		name='' life='' pid='' rss=0
		{
			while read -r key value rest; do
				case $key in
				Name:) name=$value ;;
				State:) life=$value ;;
				Pid:) pid=$value ;;
				VmRSS:) rss=$value ;;
				esac
			done <"$status"
		} 2>/dev/null # it may have ended since
		case $name.$life in
		rsession.Z | rsession.X) ;; # ended, and not waited for
		rsession.?) pids="$pids $pid" kib=$((kib + rss)) ;;
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

# save has the R sessions suspend, and returns 0 if all have.
save() {
	rsessions
	[ -n "$pids" ] || return 0
	# A file beside the states: one clock tells the times of both.
	since=$active/.atelier-suspend
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
	rsessions
	if [ -n "$pids" ]; then
		refuse "R sessions began meanwhile, or could not be asked"
		return
	fi
}

# on_suspend is what SIGUSR1 does.
on_suspend() {
	[ -n "$server" ] || return 0
	trap '' USR1
	if save; then
		kill -s TERM "$server" 2>/dev/null
		wait "$server"
		rsessions
		if [ -z "$pids" ]; then
			exit "$saved"
		fi
		printf '%sR sessions began while the server ended, and end with it:%s\n' "$not_saved" "$pids" >&2
		exit 1
	fi
	trap on_suspend USR1
}

# on_stop is what SIGTERM does.
on_stop() {
	trap '' USR1 TERM
	[ -n "$server" ] || exit 0
	kill -s TERM "$server" 2>/dev/null
	rsessions
	for pid in $pids; do
		kill -s TERM "$pid" 2>/dev/null
	done
	wait "$server"
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
trap on_stop TERM
if [ "${ATELIER_CLEAN:-}" = 1 ]; then
	set_aside
fi
"$@" &
server=$!
code=0
while kill -0 "$server" 2>/dev/null; do # a signal ends waiting, too
	wait "$server"
	code=$?
done
if [ "$code" -eq "$saved" ]; then
	code=1 # what this code confirms is not the server's to say
fi
exit "$code"
