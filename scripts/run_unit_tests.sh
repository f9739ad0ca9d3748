#!/usr/bin/env bash
# cargo's runner for the Rust unit tests: run_unit_tests.sh PROGRAM [ARGUMENT…]
#
# The program is linked with neither the BEAM nor a Python. $LIBPYTHON, loaded before it, is the one;
# in the BEAM's place every enif_* function that the program names is there and ends it when called.
set -euo pipefail

stubs=$(mktemp --suffix .so)
trap 'rm -f "$stubs"' EXIT

nm --dynamic --undefined-only "$1" |
  sed -n 's/.* \(enif_[a-z0-9_]*\)$/void \1(void) { __builtin_trap(); }/p' |
  cc -shared -fPIC -x c - -o "$stubs"

LD_PRELOAD="$stubs:$LIBPYTHON" "$@"
