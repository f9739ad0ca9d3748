#!/usr/bin/env bash
# Builds the documentation into doc/, with Debian's ExDoc, and fails if ExDoc warns.
#
# Where ExDoc is installed (`apt-get install elixir-ex-doc`, from Debian 13 on) it is used as it is. On
# other Debian and Ubuntu systems, as root, a chroot of Debian 13 is made once, in CHROOTS, and used
# with a copy of the sources. The documentation of `py` needs Erlang/OTP 27, which that has too.
set -euo pipefail
cd "$(dirname "$0")/.."

SUITE=${SUITE:-trixie}
CHROOTS=${CHROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/erlang_python}
LIBRARIES=/usr/lib/elixir/lib

fail() {
  echo "docs.sh: $1" >&2
  exit 1
}

# Without the native libraries, which no documentation needs. The task itself would compile them.
build() {
  export LC_ALL=C.UTF-8 MIX_ENV=dev ERLANG_PYTHON_BUILD=1 ERL_LIBS=$LIBRARIES
  export MIX_BUILD_PATH=${MIX_BUILD_PATH:-$PWD/_build/docs}
  rm -rf doc
  mix do compile.erlang + compile.elixir + compile.app
  mix run --no-compile --no-start -e 'Mix.Tasks.Docs.run([])' 2>&1 | tee "$MIX_BUILD_PATH/log"
  if grep -q 'warning:' "$MIX_BUILD_PATH/log"; then fail "ExDoc warns"; fi
}

in_chroot() {
  local root=$CHROOTS/docs-$SUITE sources=/root/erlang_python

  scripts/chroot.sh "$SUITE" "$root" elixir,elixir-ex-doc "$root.log"
  rm -rf "$root$sources/doc"
  mkdir -p "$root$sources"
  tar c --exclude=./_build --exclude=./doc --exclude=./.git --exclude=./native --exclude=./priv/native . |
    tar x -C "$root$sources"
  chroot "$root" "$sources/scripts/docs.sh"
  rm -rf doc
  cp -r "$root$sources/doc" doc
}

if [ -d "$LIBRARIES/ex_doc" ]; then
  build
elif [ -f /etc/debian_version ]; then
  in_chroot
else
  fail "there is no Debian package of ExDoc here; add {:ex_doc, \"~> 0.40\"} to the dependencies and run mix docs"
fi
