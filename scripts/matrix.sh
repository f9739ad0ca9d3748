#!/usr/bin/env bash
# Runs the test suite on every version: here on each Python, and in chroots of newer Debian releases on
# theirs. Prints a table, a row a cell; what a cell printed is in _build/matrix.
#
#   scripts/matrix.sh                    all cells
#   scripts/matrix.sh trixie forky-3.14  those of trixie, and one of forky
#
# `host` are those here. The chroots are made once, in ~/.cache/erlang_python/chroots, and need root.
# DEBIAN_MIRROR says where from, if not from where this machine gets its own packages.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

source=$PWD
logs=$source/_build/matrix
chroots=${XDG_CACHE_HOME:-$HOME/.cache}/erlang_python/chroots
mkdir -p "$logs"
export LC_ALL=C.UTF-8

fail() { printf '%s\n' "$@" >&2; exit 1; }

## The cells: distribution and Python

pythons_of() {
  case $1 in
    trixie) echo 3.13 ;;
    forky) echo 3.13 3.14 3.15 ;;
  esac
}

# "host /path/to/python3.8 3.8", "forky /usr/bin/python3.14 3.14"
cells() {
  local suite version python
  while read -r version python; do
    echo "host $python $(cut -d. -f1,2 <<<"$version")"
  done < <(scripts/pythons.sh)
  for suite in trixie forky; do
    for version in $(pythons_of "$suite"); do
      echo "$suite /usr/bin/python$version $version"
    done
  done
}

chosen() {
  local distribution python version name
  while read -r distribution python version; do
    for name in "${@:-$distribution}"; do
      if [ "$name" = "$distribution" ] || [ "$name" = "$distribution-$version" ]; then
        echo "$distribution $python $version"
        break
      fi
    done
  done < <(cells)
}

## Chroots

# The native libraries are those that were built here: see CONTRIBUTING.md. So there is no Rust among these.
packages_of() {
  local version
  printf '%s,' elixir erlang-nox erlang-dev ca-certificates git make python3 python3-numpy
  for version in $(pythons_of "$1"); do
    printf '%s,' "python$version" "libpython$version" "python$version-venv"
  done
}

make_chroot() {
  local packages
  packages=$(packages_of "$1")
  scripts/chroot.sh "$1" "$chroots/$1" "${packages%,}" "$logs/$1-chroot.log"
}

# What runs in the cell, as PID 1 of namespaces of its own: when it ends, however it ends, its processes
# and its mounts are gone. Being interrupted, bash would wait for its child first, and unshare heeds nothing
# but SIGKILL: so it is in the background, and waited for.
child=
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null; exit 130' INT TERM HUP

in_chroot() {
  local suite=$1 status=0
  shift
  # shellcheck disable=SC2016 # expanded in there
  unshare --mount --pid --fork --kill-child --propagation private bash -euc '
    root=$1 source=$2
    shift 2
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mkdir -p "$root$source"
    mount --bind "$source" "$root$source"
    status=0
    chroot "$root" env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
      sh -c "cd \"\$0\" && exec env \"\$@\"" "$source" "$@" || status=$?
    exit $status
  ' - "$chroots/$suite" "$source" "$@" &
  child=$!
  wait "$child" || status=$?
  child=
  return $status
}

# The cells of a distribution have their own beams, and the native libraries in common.
run() {
  local distribution=$1
  shift
  set -- MIX_ENV=test "MIX_BUILD_PATH=$source/_build/matrix-$distribution" "$@"
  if [ "$distribution" = host ]; then env "$@"; else in_chroot "$distribution" "$@"; fi
}

## The table

row() { printf '%-12s %-4s %-8s %-9s %6s %9s %8s\n' "$@"; }

codename() {
  # shellcheck disable=SC1091
  if [ "$1" = host ]; then (. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-host}") || echo host; else echo "$1"; fi
}

# Compiles everything afresh, so that all warnings show.
compile() {
  rm -rf "_build/matrix-$1"
  run "$1" mix compile --warnings-as-errors >"$logs/$1-compile.log" 2>&1
}

test_cell() {
  local distribution=$1 python=$2 version=$3 log=$logs/$1-$3.log
  local began=$SECONDS patch count failures again status=0
  patch=$(run "$distribution" "$python" -c 'import platform; print(platform.python_version())')
  run "$distribution" "PYTHON=$python" mix test >"$log" 2>&1 || status=$?
  read -r count failures < <(scripts/test_counts.sh <"$log")
  # On a busy machine what failed is run once more, alone: a test that fails twice is broken.
  if [ "$status" != 0 ] && [ "$failures" != - ]; then
    status=0
    run "$distribution" "PYTHON=$python" mix test --failed >"$log.again" 2>&1 || status=$?
    read -r _ again < <(scripts/test_counts.sh <"$log.again")
    failures="$failures, $again"
  fi
  [ "$failures" != - ] || failures="ended $status"
  row "$(codename "$distribution")" "$otp" "$elixir" "$patch" "$count" "$failures" $((SECONDS - began))
  [ "$status" = 0 ]
}

mapfile -t wanted < <(chosen "$@")
[ ${#wanted[@]} -gt 0 ] || fail "No such cells: $*. There are:" "$(cells | sed 's/\(.*\) .* \(.*\)/  \1-\2/')"

for cell in "${wanted[@]}"; do
  read -r distribution _ <<<"$cell"
  [ "$distribution" = host ] || make_chroot "$distribution"
done

red=0 compiled=
row distribution OTP Elixir Python tests failures seconds
for cell in "${wanted[@]}"; do
  read -r distribution python version <<<"$cell"
  if [ "$distribution" != "$compiled" ]; then
    compiled=$distribution
    read -r otp elixir < <(run "$distribution" elixir -e 'IO.puts([System.otp_release(), " ", System.version()])')
    works=yes
    compile "$distribution" || works=no
  fi
  if [ "$works" = yes ]; then
    test_cell "$distribution" "$python" "$version" || red=$((red + 1))
  else
    row "$(codename "$distribution")" "$otp" "$elixir" "$version" - 'not built' -
    red=$((red + 1))
  fi
done

[ $red = 0 ] || fail "$red of ${#wanted[@]} cells failed; what they printed is in $logs."
