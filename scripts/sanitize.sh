#!/usr/bin/env bash
# Runs tests on native libraries that AddressSanitizer looks at, and fails if it reports anything: memory that
# is used after it was freed, or outside of what was allocated, whether the BEAM's, Python's or our own.
#
#   scripts/sanitize.sh                      the tests of conversion, streams, callbacks and processes, and of broken answers
#   scripts/sanitize.sh test/python/pools    others
#
# It works on a copy of the checkout, _build/sanitize/project, and leaves priv/native as it is. First comes
# a mistake that has to be reported, in the VM and in a Python process: without, nothing would be checked. It needs Linux
# with glibc, and gcc's libasan; PYTHON picks the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

fail() { printf '%s\n' "$@" >&2; exit 1; }

out=$PWD/_build/sanitize
project=$out/project
report=$out/report

[ $# -gt 0 ] || set -- test/python/{values,objects,streams,callbacks,output,engine} test/native/codec_test.exs

asan=$(gcc -print-file-name=libasan.so 2>/dev/null || true)
[ -f "$asan" ] || fail "AddressSanitizer's library is missing here: it comes with gcc, on Linux."
asan=$(readlink -f "$asan")

## A copy of the checkout

mkdir -p "$project"
find "$project" -mindepth 1 -maxdepth 1 ! -name _build ! -name priv -exec rm -rf {} +
rm -rf "$project/priv/python"
tar -c --exclude=./_build --exclude=./.git --exclude=./doc --exclude=./tmp --exclude=./native/target \
  --exclude=./priv/native . | tar -x -C "$project"
# What tests have installed from PyPI serves here too: pip takes its time under AddressSanitizer.
mkdir -p _build/packages "$project/_build"
ln -sfn "$PWD/_build/packages" "$project/_build/packages"
cd "$project"

## The build

export LC_ALL=C.UTF-8 MIX_ENV=test
unset MIX_BUILD_PATH CARGO_TARGET_DIR

(
  # The sanitizer is not stable, and this lets a stable compiler have it. With a target of its own, what
  # runs in the compiler is built without.
  export RUSTC_BOOTSTRAP=1
  export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes --cfg sanitizer"
  CARGO_BUILD_TARGET=$(rustc -vV | sed -n 's/^host: //p')
  export CARGO_BUILD_TARGET
  # The checks of locks and of overflows are there as well.
  export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=1 CARGO_PROFILE_RELEASE_STRIP=none
  export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true
  mix compile
  # It is not shipped; its tests would build it otherwise, without the sanitizer.
  mix run --no-compile --no-start -e 'File.write!(hd(System.argv()), Python.Codec.build())' "$out/codec"
)
CODEC_LIBRARY=$(cat "$out/codec")
export CODEC_LIBRARY

# A program brings the sanitizer with it, of Rust's kind, and gcc's for the libraries cannot be beside that. So the
# guard, which does little with memory, is built without.
cargo build --quiet --locked --release --manifest-path native/Cargo.toml --package erlang_python_guard \
  --target-dir "$out/guard"
cp "$out/guard/release/erlang_python_guard" priv/native/

for library in priv/native/*.so "$CODEC_LIBRARY".so; do
  nm --dynamic "$library" | grep __asan_ >/dev/null ||
    fail "$library was built without AddressSanitizer: nothing was checked."
done
gcc -shared -fPIC -O1 scripts/sanitize/vfork.c -o "$out/vfork.so"

## Running

# - No leaks: at its end the process leaves everything to the system.
# - No alternative stacks for signals: the VM and Python have their own.
# - Code runs on stacks that we made, which is not what it makes of a stack that returns.
# - What is too big is for Python to refuse.
# - A fault or an abort is what some tests are about; the VM ends all the same.
options=detect_leaks=0:use_sigaltstack=0:detect_stack_use_after_return=0:allocator_may_return_null=1
options+=:handle_segv=0:handle_abort=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:alloc_dealloc_mismatch=0:quarantine_size_mb=64
# vfork.so has to come before libasan, which has a vfork as well.
options+=:verify_asan_link_order=0:halt_on_error=1:exitcode=99:log_path=$report

# A ps of procps comes to no end with the library in it.
mkdir -p "$out/bin"
printf '#!/bin/sh\nexec env -u LD_PRELOAD %s "$@"\n' "$(command -v ps)" >"$out/bin/ps"
chmod +x "$out/bin/ps"

# The terms of the BEAM, and Python's objects, each in a piece of memory of their own.
sanitized() {
  env PATH="$out/bin:$PATH" ASAN_OPTIONS="$options" LD_PRELOAD="$out/vfork.so $asan" PYTHONMALLOC=malloc \
    ERL_FLAGS="${ERL_FLAGS:-} +Mea min" "$@"
}

# A process whose memory is limited may have too little for AddressSanitizer itself, which is no mistake of ours.
reports() { grep -ls "ERROR: AddressSanitizer: " "$report".* || true; }

for engine in main process; do
  [ $engine = main ] && library=liberlang_python_nif || library=liberlang_python_worker
  rm -f "$report".*
  sanitized mix run --no-compile scripts/sanitize/control.exs $engine >"$out/control.log" 2>&1 || true
  grep -qs $library "$report".* || {
    cat "$out/control.log"
    fail "A mistake that was made on purpose (engine :$engine) was not reported: nothing was checked."
  }
done
rm -f "$report".*
echo "AddressSanitizer reports what it has to; now the tests."

status=0
sanitized mix test --no-compile --timeout 300000 "$@" 2>&1 | tee "$out/tests.log" || status=$?
read -r count failures < <(scripts/test_counts.sh <"$out/tests.log")

found=$(reports)
if [ -n "$found" ]; then
  xargs cat <<<"$found"
  fail "AddressSanitizer has reported errors, see above and $report.*."
fi
# ExUnit ends with 2 where tests have failed.
case $status in
  0) ;;
  2) echo "No memory errors. The tests that failed are for make test to judge: here Python and the VM are slow, and use memory as they never do." ;;
  *) fail "The tests did not come to their end (status $status), see $out/tests.log." ;;
esac
[ "$count" != - ] || fail "No test has run."
echo "No memory errors in $count tests ($failures failed), with ${PYTHON:-the Python of this machine}."
