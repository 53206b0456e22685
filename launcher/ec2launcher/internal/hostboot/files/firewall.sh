#!/bin/bash
# What containers reach: the network beyond the host, but neither each other,
# nor the host and its engine, nor its metadata and credentials, nor file
# systems otherwise than by their mounts, nor containers and engines of other
# hosts. Docker calls DOCKER-USER before its
# own rules and leaves it alone. Our chains are replaced at once or not at all.
set -euo pipefail
# shellcheck source=/dev/null
. /etc/atelier/host.env
# shellcheck source=/dev/null
. /run/atelier/place.env
: "${VPC_IPV4:?}"

chains() { # chains DNS-SERVER LINK-LOCAL-RANGE VPC-RANGES
  local bridge port range
  echo '*filter'
  echo ':ATELIER-CONTAINER - [0:0]'
  echo ':ATELIER-FORWARD - [0:0]'
  echo ':ATELIER-INPUT - [0:0]'
  for bridge in $BRIDGES; do
    echo "-A ATELIER-FORWARD -i $bridge -j ATELIER-CONTAINER"
    echo "-A ATELIER-CONTAINER -o $bridge -j REJECT"
    echo "-A ATELIER-INPUT -i $bridge -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    echo "-A ATELIER-INPUT -i $bridge -j REJECT"
  done
  echo "-A ATELIER-CONTAINER -d $1 -p udp --dport 53 -j RETURN"
  echo "-A ATELIER-CONTAINER -d $1 -p tcp --dport 53 -j RETURN"
  echo "-A ATELIER-CONTAINER -d $2 -j REJECT"
  for port in 2049 "$ENGINE_PORT"; do # of what they open: a client of theirs may call from any port
    echo "-A ATELIER-CONTAINER -p tcp --dport $port -m conntrack --ctdir ORIGINAL -j REJECT"
    echo "-A ATELIER-CONTAINER -p udp --dport $port -m conntrack --ctdir ORIGINAL -j REJECT"
  done
  for range in $3; do
    echo "-A ATELIER-CONTAINER -d $range -p tcp --dport $SESSION_PORTS -m conntrack --ctdir ORIGINAL -j REJECT"
  done
  echo COMMIT
}

ensure() { # ensure IPTABLES CHAIN TARGET: the chain calls the target before all else
  "$1" -w 10 -C "$2" -j "$3" 2>/dev/null || "$1" -w 10 -I "$2" -j "$3"
}

# Link-local addresses of EC2: metadata is .254 or ::254, DNS .253 or ::253
# (https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html).
chains 169.254.169.253 169.254.0.0/16 "$VPC_IPV4" | iptables-restore --noflush --wait=10
chains fd00:ec2::253 fd00:ec2::/32 "$VPC_IPV6" | ip6tables-restore --noflush --wait=10
for tables in iptables ip6tables; do
  "$tables" -w 10 -N DOCKER-USER 2>/dev/null || true
  ensure "$tables" DOCKER-USER ATELIER-FORWARD
  ensure "$tables" FORWARD DOCKER-USER
  ensure "$tables" INPUT ATELIER-INPUT
done
