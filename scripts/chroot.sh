#!/usr/bin/env bash
# Makes a chroot of a Debian release, once: chroot.sh SUITE FOLDER PACKAGES LOG
#
# PACKAGES are those besides the smallest system, separated by commas. A folder that was made for other
# packages, or whose making was interrupted, is made anew. It takes root. DEBIAN_MIRROR says where from, if
# not from where this machine gets its own packages.
set -euo pipefail

suite=$1 root=$2 packages=$3 log=$4
script=/usr/share/debootstrap/scripts/$suite

fail() { printf '%s\n' "$@" >&2; exit 1; }

[ "$(cat "$root/packages" 2>/dev/null)" != "$packages" ] || exit 0

[ "$(id -u)" = 0 ] || fail "To make a chroot of Debian $suite takes root."
command -v debootstrap >/dev/null || apt-get install -y --no-install-recommends debootstrap >&2 ||
  fail "debootstrap is missing, and could not be installed."

from=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' \
  'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null | head -n 1)}
[ -n "$from" ] || fail "No Debian mirror among the sources of apt: set DEBIAN_MIRROR to one."
# A release that is newer than debootstrap itself is made as the newest is.
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid

echo "Making a chroot of Debian $suite in $root" >&2
rm -rf --one-file-system "$root"
mkdir -p "$root" "$(dirname "$log")"
debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$from" "$script" >"$log" 2>&1 ||
  fail "No chroot of Debian $suite could be made; $log says why."
rm -rf "$root"/var/cache/apt/archives/*.deb
echo "$packages" >"$root/packages"
