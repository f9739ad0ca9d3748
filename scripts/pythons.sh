#!/usr/bin/env bash
# Prints the interpreters of this machine that can be embedded, oldest first, one of each minor
# version: "3.11.7 /path/to/python3.11".
set -euo pipefail
cd "$(dirname "$0")"

candidates() {
  compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.*/bin/python3" || true
  compgen -G '/usr/local/bin/python3.[0-9]*' || true
  compgen -G '/usr/bin/python3.[0-9]*' || true
  command -v python3 || true
}

candidates | while read -r python; do
  # Left out: a Python that is too old or static, and python3.11-config, which prints only its usage.
  if found=$("$python" libpython.py 2>/dev/null); then
    echo "${found%% *} $python"
  fi
done | sort -V -s -k1,1 | awk '{ split($1, v, "."); if (!seen[v[1] "." v[2]]++) print }'
