#!/bin/bash
# The licence.
set -euo pipefail
# shellcheck source=lib.sh
. /usr/local/libexec/atelier/lib.sh

read_license() { text=$(secret "$LICENSE_SECRET" "$LICENSE_PARAMETER"); }

case $LICENSE in
key | file)
  patiently "$NETWORK_WITHIN" read_license || {
    echo "the licence in ${LICENSE_SECRET:-$LICENSE_PARAMETER} cannot be read: the host's role does not let it, or there is no way to it"
    exit 1
  }
  ;;
esac
case $LICENSE in
server)
  rstudio-server license-manager license-server "$LICENSE_SERVER"
  ;;
file) # https://docs.posit.co/ide/server-pro/license_management/license_activation_and_details.html
  new=/var/lib/rstudio-server/.atelier.lic.new
  rm -f "$new"
  (
    umask 077
    printf '%s\n' "$text" >"$new"
  )
  chown rstudio-server "$new"
  mv "$new" /var/lib/rstudio-server/atelier.lic
  ;;
key)
  status=$(rstudio-server license-manager status 2>/dev/null) || true
  if grep -qx 'Status: Activated' <<<"$status"; then exit; fi
  # The command takes a key as an argument alone, which everybody on a host may
  # see; so nobody sees another's processes meanwhile.
  trap 'mount -o remount,hidepid=0 /proc' EXIT
  mount -o remount,hidepid=2 /proc
  rstudio-server license-manager activate "$text" >/dev/null 2>&1 || { # whose words may tell the key
    echo 'the licence key cannot be activated: it may be active on another host, or the host has no way to the licensing service'
    exit 1
  }
  ;;
esac
