#!/bin/bash
# Powers off a host on which nothing runs and that nobody is connected to: its
# launcher has let go of it, or is gone for good. So does a host that was
# rebooted, whose memory is empty: its engine has no keys.
set -euo pipefail
# shellcheck source=/dev/null
. /etc/atelier/host.env

busy=/run/atelier/busy
if pgrep -f containerd-shim >/dev/null || [ -n "$(ss -Htn state established "( sport = :$ENGINE_PORT )")" ]; then
  touch "$busy"
elif [ ! -e "$busy" ] || (($(date +%s) - $(stat -c %Y "$busy") >= POWER_OFF_AFTER)); then
  echo 'empty and unvisited: powering off'
  systemctl poweroff
fi
