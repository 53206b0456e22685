#!/bin/bash
# Which host this is, which its engine tells the launcher, and the ranges of its
# VPC, where the other hosts are, as they are now.
set -euo pipefail
# shellcheck source=aws.sh
. /usr/local/libexec/atelier/aws.sh

instance=$(metadata instance-id)
network=network/interfaces/macs/$(metadata mac)
items=$(metadata "$network/")
ipv4=$(metadata "$network/vpc-ipv4-cidr-blocks")
ipv6=
if grep -qx vpc-ipv6-cidr-blocks <<<"$items"; then # or the VPC has no IPv6
  ipv6=$(metadata "$network/vpc-ipv6-cidr-blocks")
fi
cat >/run/atelier/place.env <<EOF
INSTANCE=${instance:?}
VPC_IPV4="${ipv4//$'\n'/ }"
VPC_IPV6="${ipv6//$'\n'/ }"
EOF
