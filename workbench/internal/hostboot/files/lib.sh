# shellcheck shell=bash
# What the scripts share.
# shellcheck source=/dev/null
. /etc/atelier/host.env

# patiently SECONDS COMMAND ...: until it succeeds. A new role may take a while
# until it is known everywhere, and the network until it is there.
patiently() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 5
  done
}

# secret SECRET PARAMETER: the text of either, as the host's role. It is in no
# command line.
secret() {
  if [ -n "$1" ]; then
    aws secretsmanager get-secret-value --region "$REGION" --secret-id "$1" --query SecretString --output text
  else
    aws ssm get-parameter --region "$REGION" --name "$2" --with-decryption --query Parameter.Value --output text
  fi
}
