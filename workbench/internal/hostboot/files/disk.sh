#!/bin/bash
# The data disk: the one volume that is this Workbench's, whatever its name here.
# It gets a file system only if there is nothing on it.
set -euo pipefail
# shellcheck source=lib.sh
. /usr/local/libexec/atelier/lib.sh

data=/var/lib/atelier-data

# On Nitro a volume's id is its serial number, without the hyphen
# (https://docs.aws.amazon.com/ebs/latest/userguide/identify-nvme-ebs-device.html).
# Elsewhere the kernel's name follows from EC2's, sdf being xvdf.
find_disk() {
  disk=$(lsblk --noheadings --nodeps --list --output PATH,SERIAL | awk -v serial="${VOLUME/-/}" '$2 == serial { print $1 }')
  if [ -z "$disk" ] && [ -b "${DEVICE/sd/xvd}" ]; then disk=${DEVICE/sd/xvd}; fi
  [ -n "$disk" ]
}

# is_empty: nothing that any program would know, and a first MiB of zeros.
is_empty() {
  [ -z "$(wipefs --noheadings "$disk")" ] && [ -z "$(lsblk --noheadings --list --output PATH "$disk" | tail -n +2)" ] &&
    cmp --silent --bytes=1048576 "$disk" /dev/zero
}

mkdir -p "$data"
if ! mountpoint -q "$data"; then
  patiently "$DISK_WITHIN" find_disk || {
    echo "volume $VOLUME is not attached"
    exit 1
  }
  case $(blkid --probe --output value --match-tag TYPE "$disk" || true) in
  xfs) ;;
  '')
    is_empty || {
      echo "$disk has something on it that is no file system of ours, and is not formatted"
      exit 1
    }
    mkfs.xfs -q "$disk"
    ;;
  *)
    echo "$disk has another file system than ours, and is not formatted"
    exit 1
    ;;
  esac
  mount -o nodev,nosuid "$disk" "$data"
fi
for name in rstudio-server rstudio-launcher; do
  if [ ! -d "$data/$name" ]; then # what an image has there comes along once, or not at all
    rm -rf "$data/$name.new"
    mkdir -p "/var/lib/$name"
    cp -a "/var/lib/$name" "$data/$name.new"
    mv "$data/$name.new" "$data/$name"
  fi
  mkdir -p "/var/lib/$name"
  mountpoint -q "/var/lib/$name" || mount --bind "$data/$name" "/var/lib/$name"
done
