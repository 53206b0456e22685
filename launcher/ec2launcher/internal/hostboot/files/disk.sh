#!/bin/bash
# The data disk, with a file system whose quotas bound what a container writes.
# On Nitro its name is another, and udev links the one that EC2 knows to it.
set -euo pipefail
# shellcheck source=/dev/null
. /etc/atelier/host.env

mountpoint -q /var/lib/docker && exit
for _ in {1..30}; do
  [ ! -b "$DATA_DEVICE" ] || break
  sleep 1
done
if [ -b "$DATA_DEVICE" ]; then
  disk=$(readlink -f "$DATA_DEVICE")
else # without the link: the one EBS disk that has no parts and is not mounted
  disk=$(lsblk --json --output PATH,TYPE,MODEL,MOUNTPOINT | python3 -c 'import json, sys
for d in json.load(sys.stdin)["blockdevices"]:
    if d["model"] == "Amazon Elastic Block Store" and not d.get("children") and not d["mountpoint"]: print(d["path"])')
fi
if [[ -z $disk || $disk == *$'\n'* ]]; then
  echo "which disk is $DATA_DEVICE? candidates: ${disk:-none}" >&2
  exit 1
fi
case $(blkid -o value -s TYPE "$disk" || true) in
xfs) ;;
'') mkfs.xfs -q "$disk" ;;
*) echo "$disk has another file system than ours: it is not formatted" >&2 && exit 1 ;;
esac
mkdir -p /var/lib/docker
mount -o prjquota "$disk" /var/lib/docker
