#!/bin/bash
# The domain's accounts, as a command prints them, one a line:
#   name:uid:gid:home:access point of the home:project's group=gid,group
# Missing ones are made, and one of ours that is told by another name is renamed. No uid
# is ever changed, what is not ours is left alone, and ours that are gone are locked. If the command fails, or prints what makes no
# sense or nothing, all stay as they are; a host that boots then has those that it
# printed last.
set -euo pipefail
# shellcheck source=lib.sh
. /usr/local/libexec/atelier/lib.sh

((${#ACCOUNTS[@]})) || exit 0
mkdir -p /run/atelier
exec 9>/run/atelier/accounts.lock
flock 9

mark='Atelier' # the comment of our accounts
ours='^(project|group)-' # the groups that are told
name='[a-z_][a-z0-9._-]{0,31}'
id='[1-9][0-9]{3,9}'
line="^$name:$id:$id:/home/$name:(fsap-[0-9a-f]{8,40})?:((project-[a-z0-9-]+=$id|group-[a-z0-9-]+),?)*\$"

saved=/var/lib/atelier/accounts # on the root disk, as the accounts are
list=$("${ACCOUNTS[@]}") || {
  echo "'${ACCOUNTS[*]}' failed: accounts stay as they are"
  [ -s "$saved" ] || exit 1
  list=$(<"$saved")
}
[ -n "$list" ] || {
  echo "'${ACCOUNTS[*]}' printed no account: they stay as they are"
  exit 1
}
if grep -Evn "$line" <<<"$list"; then
  echo "'${ACCOUNTS[*]}' printed lines that make no sense: accounts stay as they are"
  exit 1
fi

echo "$list" >"$saved"

done_before=/run/atelier/accounts.done
state() { printf '%s\n' "$list" "$(stat -c '%Y %i %s' /etc/passwd /etc/group /etc/shadow)"; }
if state | cmp --silent - "$done_before"; then exit; fi

failed=0
problem() {
  echo "$1"
  failed=1
}

ensure_group() { # ensure_group NAME [GID]
  local have
  have=$(getent group "$1" | cut -d: -f3) || true
  if [ -z "$have" ]; then
    groupadd ${2:+--gid "$2"} "$1"
  elif [ "$have" != "${2:-$have}" ]; then
    echo "group $1 has gid $have, not $2"
    return 1
  elif [ -z "$2" ] && getent passwd "$1" >/dev/null; then
    echo "group $1 is that of an account"
    return 1
  fi
}

ensure_user() { # ensure_user NAME UID GID HOME
  local entry group
  entry=$(getent passwd "$1") || true
  if [ -z "$entry" ]; then
    if [[ $1 =~ $ours ]]; then
      echo "account $1 has the name of a group"
      return 1
    fi
    if getent passwd "$2" >/dev/null; then
      rename "$1" "$2" "$4" || return 1
      entry=$(getent passwd "$1")
    fi
  fi
  if [ -z "$entry" ]; then
    ensure_group "$1" "$3" && useradd --uid "$2" --gid "$3" --no-user-group --home-dir "$4" --no-create-home \
      --comment "$mark" --shell /bin/bash --key UID_MAX=4294967294 "$1"
    return
  fi
  if [ "$(cut -d: -f5 <<<"$entry")" != "$mark" ]; then
    echo "account $1 exists and is not ours"
    return 1
  fi
  if [ "$(cut -d: -f3 <<<"$entry")" != "$2" ]; then
    echo "account $1 has uid $(cut -d: -f3 <<<"$entry"), not $2: a uid is for ever"
    return 1
  fi
  group=$(getent group "$3" | cut -d: -f1)
  if [ "${group:-$1}" != "$1" ]; then groupmod --new-name "$1" "$group" || return 1; fi
  if [ "$(getent shadow "$1" | cut -d: -f8)" = 1 ]; then usermod --expiredate '' "$1"; fi
}

# rename NAME UID HOME: the account of the uid, unless somebody is signed in as it. What
# is at the old place of the home is the home.
rename() {
  local old comment home
  IFS=: read -r old _ _ _ comment home _ < <(getent passwd "$2")
  if [ "$comment" != "$mark" ] || [ -n "${here[$old]-}" ]; then
    echo "uid $2 is that of $old"
    return 1
  fi
  usermod --login "$1" --home "$3" "$old" || return 1
  umount "$home" 2>/dev/null && rmdir "$home"
  return 0
}

ensure_groups() { # ensure_groups NAME GROUP=GID,GROUP,...: of ours exactly these, others as they are
  local group gid told=() wanted have bad=0
  while IFS='=' read -r group gid; do
    if ensure_group "$group" "$gid"; then told+=("$group"); else bad=1; fi
  done < <(tr , '\n' <<<"$2" | sed '/^$/d')
  have=$(id -nG "$1" | tr ' ' '\n' | grep -vxF "$1" | sort -u) || true
  wanted=$(printf '%s\n' "${told[@]}" "$(grep -Ev "$ours" <<<"$have" || true)" | sed '/^$/d' | sort -u)
  if [ "$wanted" != "$have" ]; then usermod --groups "$(paste -sd, <<<"$wanted")" "$1" || bad=1; fi
  return $bad
}

# The directory appears when the access point is mounted for the first time.
ensure_home() { # ensure_home UID HOME ACCESS-POINT
  local there=/srv/atelier/homes/$1 once
  mountpoint -q "$2" && return
  if [ ! -d "$there" ] && [ -n "$3" ]; then
    once=$(mktemp -d /run/atelier/home.XXXXXX)
    mount -t efs -o "tls,iam,accesspoint=$3" "$FILE_SYSTEM:/" "$once" && umount "$once"
    rmdir "$once"
  fi
  [ -d "$there" ] || {
    echo "$2: there is no directory /$1 on $FILE_SYSTEM"
    return 1
  }
  mkdir -p "$2"
  mount --bind "$there" "$2"
}

declare -A here # names and uids that are told
while IFS=: read -r user uid _; do here[$user]=1 here[$uid]=1; done <<<"$list"

while IFS=: read -r user uid gid home point groups; do
  if ensure_user "$user" "$uid" "$gid" "$home"; then
    ensure_groups "$user" "$groups" || problem "account $user is not in all of its groups"
    ensure_home "$uid" "$home" "$point" || problem "account $user has no home here"
  else
    problem "account $user is left as it is"
  fi
done <<<"$list"

while IFS=: read -r user _ uid _ comment _; do
  if [ "$comment" != "$mark" ] || [ -n "${here[$user]-}${here[$uid]-}" ]; then continue; fi
  if ! ensure_groups "$user" '' || { [ "$(getent shadow "$user" | cut -d: -f8)" != 1 ] && ! usermod --expiredate 1 "$user"; }; then
    problem "account $user cannot be locked"
  fi
done </etc/passwd

if ((failed)); then
  rm -f "$done_before"
else
  state >"$done_before"
fi
