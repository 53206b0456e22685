#!/bin/bash
# What a host does when it boots for the first time. It ends with an engine that
# answers the launcher, or says why not and powers off.
set -euo pipefail

log=/run/atelier/boot.log
mkdir -p /run/atelier
trap '' PIPE # the log's reader may go before us
exec > >(trap '' TERM && exec tee -a "$log") 2>&1 # which cloud-init shows on the console and in the journal

# report tells CloudWatch Logs what the console has.
report() {
  local instance=$1 text
  text=$(tail -c 20000 "$log")
  call logs "$LOGS_ENDPOINT" Logs_20140328.CreateLogStream "$(json logGroupName "$LOG_GROUP" logStreamName "$instance")"
  call logs "$LOGS_ENDPOINT" Logs_20140328.PutLogEvents "$(python3 -c 'import json, sys, time
group, stream, text = sys.argv[1:]
print(json.dumps({"logGroupName": group, "logStreamName": stream,
    "logEvents": [{"timestamp": int(time.time() * 1000), "message": text}]}))' "$LOG_GROUP" "$instance" "$text")"
}

# ended takes every end of this script but its last line for a failure. Nothing
# keeps it from powering off, however little was there when the boot ended.
why='it was ended'
ended() {
  trap - ERR EXIT
  trap '' HUP INT TERM
  set +e
  echo "boot: $why; this host powers off"
  sleep 1 # for the log
  (instance=$(metadata instance-id) && report "$instance") # which may find names unset
  systemctl poweroff
  exit 1
}
trap 'why="'"'"'$BASH_COMMAND'"'"' failed in line $LINENO"' ERR
trap ended EXIT

# Before all that may hang: a host that does not get to its end is empty and
# unvisited, and one that is rebooted has nothing in memory. Both power off.
touch /run/atelier/busy
systemctl daemon-reload
systemctl enable --now atelier-power.timer

# shellcheck source=aws.sh
. /usr/local/libexec/atelier/aws.sh

# The image's agent would run tasks of ECS, and its engine was started without us.
systemctl mask --now --no-block ecs.service
systemctl stop docker.socket docker.service

/usr/local/libexec/atelier/disk
if ((GPU)); then
  for _ in {1..60}; do
    ! nvidia-smi --list-gpus || break
    sleep 2
  done
  nvidia-smi --list-gpus
fi
if ! command -v automount; then
  for _ in {1..5}; do
    ! dnf install -y -q autofs || break
    sleep 5
  done
  command -v automount
fi
mkdir -p /efs
systemctl enable --now autofs.service
/usr/local/libexec/atelier/keys
/usr/local/libexec/atelier/place

# It may have failed for want of its keys, too often to be started again; systemd
# refuses to forget that of a unit that it has not loaded.
systemctl reset-failed docker.service docker.socket || true
systemctl start docker.service
trap - EXIT
echo "boot: the engine answers at port $ENGINE_PORT"
