#!/usr/bin/env bash
# Lists the newest glibc that the native libraries need, and fails beyond 2.28, which is that of
# Debian 10 and RHEL 8. RELEASE.md says how released libraries are built for that.
#
#   scripts/check_symbols.sh FOLDER           what is to be released
#   scripts/check_symbols.sh --local FOLDER   what this machine has built for itself
#
# A library that is linked with glibc 2.34 needs that one even for `dlopen`, because the symbol was
# moved or given a new version there. With --local such symbols are let pass: a build for an older
# glibc binds the same functions in their older versions. What no older glibc has fails here too.
set -euo pipefail

max=2.28
# Functions of glibc 2.28 and before that a newer one has under a newer version: libpthread and libdl
# became part of libc in 2.34, and the stat family became functions in 2.33.
moved='^(pthread_(?!.*clock)[a-z_]+|sem_[a-z_]+|dl(open|sym|close|error|addr|iterate_phdr)|[lf]?stat(at)?(64)?|fstatat(64)?|mknod(at)?|__libc_start_main)$'

local=
if [ "${1-}" = --local ]; then
  local=yes
  shift
fi
folder=${1:?"the folder of the libraries"}

if ! command -v objdump >/dev/null; then
  echo "check_symbols.sh: skipped, objdump (binutils) is missing" >&2
  exit 0
fi

status=0
for library in "$folder"/{liberlang_python_{loader,nif,process,worker}.so,erlang_python_guard}; do
  if [ "$(head -c 4 "$library" | tail -c 3)" != ELF ]; then
    echo "${library##*/}: not for Linux, nothing to check"
    continue
  fi

  # In a Python process there is no VM, and Python is the executable: neither is to be looked for.
  if [[ $library == *_worker.so ]]; then
    if objdump -T "$library" | grep -E '\*UND\*.*[[:space:]]enif_' >&2 ||
      objdump -p "$library" | grep -E 'NEEDED.*libpython' >&2; then
      echo "${library##*/} needs what a Python process does not have" >&2
      status=1
    fi
  fi

  # It is loaded where there is no libpython.
  if [[ $library == *_process.so ]] && objdump -T "$library" | grep -E '\*UND\*.*[[:space:]]_?Py' >&2; then
    echo "${library##*/} needs a libpython" >&2
    status=1
  fi

  # Lines such as `w 2.30 gettid`. A weak symbol may be missing when the library is loaded.
  symbols=$(objdump -T "$library" | sed -nE \
    's/^[0-9a-f]+ .(.).* \*UND\*.*[( ]GLIBC_([0-9.]+)\)? +(.+)$/\1 \2 \3/p' | sed 's/^ /-/')
  newest=$(awk '$1 != "w" { print $2 }' <<<"$symbols" | sort -Vu | tail -1)
  beyond=$(awk '$1 != "w" { print $2, $3 }' <<<"$symbols" | sort -V | while read -r version name; do
    if [ "$(printf '%s\n' "$version" "$max" | sort -V | tail -1)" != "$max" ]; then
      if [ -z "$local" ] || ! grep -qP "$moved" <<<"$name"; then echo "  $name ($version)"; fi
    fi
  done)

  echo "${library##*/}: glibc ${newest:-none}"
  if [ -n "$beyond" ]; then
    echo "needs what glibc $max does not have:" >&2
    echo "$beyond" >&2
    status=1
  fi
done
exit $status
