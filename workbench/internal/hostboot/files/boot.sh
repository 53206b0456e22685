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

# What people run here, as accounts from uid 1000 on, reaches no credentials of the role:
# root needs them, and Workbench's own account, which is the system's and which the
# Launcher runs its plugins as, if not as root
# (https://docs.posit.co/ide/server-pro/job_launcher/launcher_administration.html).
# networkd, when it starts again, removes rules but the kernel's
# (https://github.com/systemd/systemd/pull/19287).
rule=(to 169.254.169.254 uidrange 1000-4294967294 prohibit)
[[ $(ip rule) = *"${rule[*]}"* ]] || ip rule add pref 99 "${rule[@]}" protocol kernel || {
  echo 'atelier: FAILED: people are not kept from the metadata'
  exit 1
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
