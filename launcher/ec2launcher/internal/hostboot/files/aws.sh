# shellcheck shell=bash
# Two calls of AWS, as the host's role.
# shellcheck source=/dev/null
. /etc/atelier/host.env

# field NAME [NAME]: a field of the JSON on standard input; the second is a
# field of the JSON that the first holds as text.
field() {
  python3 -c 'import json, sys
v = json.load(sys.stdin)[sys.argv[1]]
for name in sys.argv[2:]: v = json.loads(v)[name]
print(v)' "$@"
}

# complaint: what AWS says is wrong, of the answer on standard input, and nothing
# else of it.
complaint() {
  python3 -c 'import json, sys
try: v = json.load(sys.stdin)
except ValueError: v = {}
print(*[v[name] for name in ("__type", "message", "Message") if isinstance(v, dict) and name in v])'
}

# json NAME VALUE ...: a JSON object of strings.
json() {
  python3 -c 'import json, sys
a = sys.argv[1:]
print(json.dumps(dict(zip(a[::2], a[1::2]))))' "$@"
}

# metadata PATH: from the instance metadata service, version 2, which may be busy.
metadata() {
  local token ask=(curl -sSf --noproxy '*' --max-time 5 --retry 8 --retry-delay 1 --retry-max-time 10 --retry-connrefused)
  token=$("${ask[@]}" -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$METADATA/latest/api/token") || return
  "${ask[@]}" -H "X-aws-ec2-metadata-token: $token" "$METADATA/latest/meta-data/$1"
}

# call SERVICE ENDPOINT TARGET BODY: the answer of a JSON service. The keys go
# to curl by its standard input: arguments are for everybody to see.
call() {
  local role keys
  role=$(metadata iam/security-credentials/) || return
  keys=$(metadata "iam/security-credentials/${role%%$'\n'*}") || return
  curl -sS --fail-with-body --max-time 20 --config - "$2" \
    --aws-sigv4 "aws:amz:$REGION:$1" -H 'Content-Type: application/x-amz-json-1.1' -H "X-Amz-Target: $3" --data-raw "$4" <<EOF
user = "$(field AccessKeyId <<<"$keys"):$(field SecretAccessKey <<<"$keys")"
header = "X-Amz-Security-Token: $(field Token <<<"$keys")"
EOF
}
