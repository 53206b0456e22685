#!/bin/bash
# The data disk, with a file system whose quotas bound what a container writes.
set -euo pipefail
# shellcheck source=/dev/null
. /etc/atelier/host.env

# candidates are what may be the disk: the name that EC2 knows, which on Nitro is
# a link if udev makes one; else every EBS disk without parts that is not mounted.
candidates() {
  if [ -b "$DATA_DEVICE" ]; then
    readlink -f "$DATA_DEVICE"
    return
  fi
  lsblk --json --output PATH,MODEL,MOUNTPOINT | python3 -c 'import json, sys
for d in json.load(sys.stdin)["blockdevices"]:
    if (d["model"] or "").strip() == "Amazon Elastic Block Store" and not d.get("children") and not d["mountpoint"]: print(d["path"])'
}

mountpoint -q /var/lib/docker && exit
for _ in {1..30}; do
  disk=$(candidates)
  [ -z "$disk" ] || break
  sleep 1
done
if [[ -z $disk || $disk == *$'\n'* ]]; then
  echo "which disk is $DATA_DEVICE? There is ${disk:-none}" >&2
  exit 1
fi
case $(blkid -o value -s TYPE "$disk" || true) in
xfs) ;;
'') mkfs.xfs -q "$disk" ;;
*)
  echo "$disk has another file system than ours, and is not formatted" >&2
  exit 1
  ;;
esac
mkdir -p /var/lib/docker
mount -o prjquota "$disk" /var/lib/docker
