#!/bin/bash
# Stands in for mount where the kernel has no quotas of XFS, and notes how it was
# called.
echo "$*" >>/run/mount.log
exec /bin/mount "${@/prjquota/defaults}"
