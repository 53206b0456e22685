#!/bin/bash
# The keys of the engine, from Secrets Manager into memory. A new role may take
# a while until it is known everywhere, and the network until it is there.
set -euo pipefail
# shellcheck source=aws.sh
. /usr/local/libexec/atelier/aws.sh

tls=/run/atelier/tls
body=$(json SecretId "$SECRET")
deadline=$((SECONDS + KEYS_WITHIN))
until answer=$(call secretsmanager "$SECRETS_ENDPOINT" secretsmanager.GetSecretValue "$body"); do
  if ((SECONDS >= deadline)); then
    answer=$(complaint <<<"$answer") # which may hold part of the secret
    echo "secret $SECRET cannot be read: ${answer:-the host has no role, or no way to Secrets Manager (a NAT gateway or a VPC endpoint)}" >&2
    exit 1
  fi
  sleep 2
done
umask 077
mkdir -p "$tls"
for part in ca cert key; do
  field SecretString "$part" <<<"$answer" >"$tls/$part.pem"
done
