#!/bin/bash
# Which host this is, which its engine tells the launcher, and the ranges of its
# VPC, where the other hosts are.
set -euo pipefail
# shellcheck source=aws.sh
. /usr/local/libexec/atelier/aws.sh

# ranges FAMILY: on one line. A VPC without IPv6 has no such item, which curl ends
# with 22 for.
ranges() {
  local text
  text=$(metadata "network/interfaces/macs/$mac/vpc-$1-cidr-blocks") || (($? == 22)) || return
  echo "${text//$'\n'/ }"
}

instance=$(metadata instance-id)
mac=$(metadata mac)
ipv4=$(ranges ipv4)
ipv6=$(ranges ipv6)
cat >/run/atelier/place.env <<EOF
INSTANCE=$instance
VPC_IPV4="$ipv4"
VPC_IPV6="$ipv6"
EOF
