#!/bin/bash
# The files that configure Workbench, from Secrets Manager.
set -euo pipefail
# shellcheck source=lib.sh
. /usr/local/libexec/atelier/lib.sh

read_files() { text=$(secret "$SECRET" ''); }

patiently "$NETWORK_WITHIN" read_files || {
  echo "secret $SECRET cannot be read: the host's role does not let it, or there is no way to Secrets Manager (a NAT gateway or a VPC endpoint)"
  exit 1
}
printf '%s' "$text" | python3 /usr/local/libexec/atelier/files.py
