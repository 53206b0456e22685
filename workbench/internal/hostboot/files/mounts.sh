#!/bin/bash
# The domain's file system, where homes lie side by side, and the project that is
# the shared storage, both over TLS as the host's role. A project's directory keeps
# the group and the mode that EFS makes it with.
set -euo pipefail
# shellcheck source=lib.sh
. /usr/local/libexec/atelier/lib.sh

helper() { command -v mount.efs >/dev/null || dnf install -y -q amazon-efs-utils; }

patiently "$NETWORK_WITHIN" helper || {
  echo 'the mount helper of EFS cannot be installed: the host has no way to the packages (a NAT gateway, or a VPC endpoint of S3)'
  exit 1
}

attach() { # attach OPTIONS DIRECTORY
  mkdir -p "$2"
  mountpoint -q "$2" || patiently "$NETWORK_WITHIN" mount -t efs -o "tls,iam,nodev,nosuid$1" "$FILE_SYSTEM:/" "$2" || {
    echo "$FILE_SYSTEM cannot be mounted: its security group does not let this host in, its policy does not let the role, or the domain has no mount target here"
    exit 1
  }
}

attach '' /srv/atelier/homes
if [ -n "$STORAGE" ]; then attach ",accesspoint=$STORAGE" "$STORAGE_PATH"; fi
