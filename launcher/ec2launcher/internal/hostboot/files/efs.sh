#!/bin/bash
# A program map of the automounter: /efs/FILE-SYSTEM.ACCESS-POINT is that access
# point, mounted over TLS as the host's role. Other names are not there.
set -euo pipefail

[[ $1 =~ ^(fs-[0-9a-f]{8,40})\.(fsap-[0-9a-f]{8,40})$ ]] || exit 1
echo "-fstype=efs,tls,iam,accesspoint=${BASH_REMATCH[2]} :${BASH_REMATCH[1]}:/"
