#!/bin/bash
# Workbench and the Launcher's plugin, unless they are there.
set -euo pipefail
# shellcheck source=lib.sh
. /usr/local/libexec/atelier/lib.sh

fetch() { # fetch URL SHA256 FILE
  patiently "$NETWORK_WITHIN" curl -sSfL --proto '=https' --proto-redir '=https' --output "$3" "$1" || {
    echo "$1 cannot be fetched"
    return 1
  }
  sha256sum --check --status <<<"$2  $3" || {
    echo "$1 is not what was asked for: its SHA-256 is $(sha256sum "$3" | cut -d' ' -f1), not $2"
    return 1
  }
}

work=$(mktemp -d /var/tmp/atelier.XXXXXX)
trap 'rm -rf "$work"' EXIT
if [ -n "$PACKAGE_URL" ] && ! command -v rstudio-server >/dev/null; then
  package=$work/${PACKAGE_URL##*/}
  fetch "$PACKAGE_URL" "$PACKAGE_SHA256" "$package"
  case $package in
  *.deb) DEBIAN_FRONTEND=noninteractive apt-get install -y "$package" ;;
  *) dnf install -y -q "$package" ;;
  esac
fi
command -v rstudio-server >/dev/null || {
  echo 'Workbench is not installed: the image has to have it, or Package has to be given'
  exit 1
}
if [ -n "$PLUGIN_URL" ] && ! sha256sum --check --status <<<"$PLUGIN_SHA256  $PLUGIN_PATH" 2>/dev/null; then
  fetch "$PLUGIN_URL" "$PLUGIN_SHA256" "$work/plugin"
  install -D --mode=0755 "$work/plugin" "$PLUGIN_PATH"
fi
