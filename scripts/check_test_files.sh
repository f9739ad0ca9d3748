#!/usr/bin/env bash
# Fails when a file under test/ would never run: `mix test` takes *_test.exs, test/support is
# compiled, and `make stress` runs test/stress.
set -euo pipefail
cd "$(dirname "$0")/.."

lost=$(find test \( -name '*.exs' ! -name '*_test.exs' ! -path test/test_helper.exs \
  -o -name '*.ex' \) ! -path 'test/support/*' ! -path 'test/stress/*')

if [ -n "$lost" ]; then
  echo "mix test never loads these; name them *_test.exs or move them to test/support:" >&2
  echo "$lost" >&2
  exit 1
fi
