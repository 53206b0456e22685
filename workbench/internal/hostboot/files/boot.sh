#!/bin/bash
# What a Workbench host does whenever it boots. It ends with Workbench running, or
# says why not; systemd then runs it again.
set -euo pipefail

step() { # step WHAT SCRIPT
  echo "atelier: $1"
  "/usr/local/libexec/atelier/$2" || {
    echo "atelier: FAILED: $1. The host stays up, and tries again in a minute."
    exit 1
  }
}

mkdir -p /run/atelier /var/lib/atelier
step 'the data disk' disk
step 'homes and shared storage' mounts
step 'packages' install
step 'configuration' files
step 'accounts' accounts
step 'the licence' license
touch /run/atelier/configured # which Workbench's units wait for
systemctl start rstudio-launcher.service rstudio-server.service
for unit in rstudio-launcher rstudio-server; do # of several, one would be enough for it
  systemctl is-active --quiet "$unit.service" || {
    echo "atelier: FAILED: $unit does not stay up: see journalctl -u $unit."
    exit 1
  }
done
systemctl start atelier-accounts.timer
echo 'atelier: Workbench runs'
