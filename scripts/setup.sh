#!/usr/bin/env bash
# Installs what the project needs and this machine lacks. Silent and quick when nothing is missing.
# Debian and Ubuntu get packages; elsewhere it says what to install and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
export LC_ALL=C.UTF-8

elixir_wanted=1.14
rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' native/Cargo.toml)

have() { command -v "$1" >/dev/null 2>&1; }
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

## What is there

# A folder of Erlang's installation. Behind a version manager's shim it cannot be told without
# starting a VM; those installations are complete.
erlang_has() {
  local root
  root=$(dirname "$(dirname "$(readlink -f "$(command -v erl)")")")
  [ ! -d "$root/lib" ] || compgen -G "$root/$1" >/dev/null
}

cargo_version() { cargo --version 2>/dev/null | cut -d' ' -f2; }
has_elixir() { have elixir && have mix && at_least "$elixir_wanted" "$(elixir --short-version)"; }
has_erlang() {
  have erl && have escript && have dialyzer &&
    erlang_has usr/include/erl_nif.h && erlang_has 'lib/ssl-*' && erlang_has 'lib/tools-*'
}
has_linker() { have cc && have make; }
has_python() { have "${PYTHON:-python3}" && "${PYTHON:-python3}" scripts/libpython.py >/dev/null 2>&1; }
# The notebooks make virtual environments. Debian has what that needs in a package of its own.
has_venv() { [ -n "${PYTHON:-}" ] || python3 -c 'import ensurepip' >/dev/null 2>&1; }
has_rust() {
  have cargo && at_least "$rust_wanted" "$(cargo_version)" && have rustfmt && have cargo-clippy
}

missing() {
  has_linker || echo "a C compiler and make"
  has_erlang || echo "Erlang/OTP 25 or newer, with its headers and dialyzer"
  has_elixir || echo "Elixir $elixir_wanted or newer"
  has_python || echo "Python 3.8 or newer with a shared library (libpython3.x.so)"
  has_venv || echo "Python's module venv, with pip"
  has_rust || echo "Rust $rust_wanted or newer with rustfmt and clippy"
  return 0
}

## Installing

list() { printf '%s\n' "$lacking" | sed 's/^/  - /'; }

fail() { printf '%s\n' "$@" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    fail "This needs root, and there is no sudo. Run as root:" "  $*"
  fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

apt_candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9.]*\).*/\1/p'; }

install_python() {
  apt_install python3 python3-venv
  has_python && return
  [ "$(readlink -f "$(command -v python3)")" = "$(readlink -f /usr/bin/python3)" ] ||
    fail "The python3 on PATH cannot be embedded: $(python3 scripts/libpython.py 2>&1)" \
      "Take another one: make $goal PYTHON=/usr/bin/python3"
  apt_install "libpython$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
}

install_rust() {
  if have rustup; then
    rustup toolchain install stable --profile minimal --component rustfmt,clippy
    rustup default stable
  elif at_least "$rust_wanted" "$(apt_candidate cargo)"; then
    apt_install cargo rustfmt rust-clippy
  elif [ -n "$(apt_candidate rustup)" ]; then
    apt_install rustup
    rustup toolchain install stable --profile minimal --component rustfmt,clippy
    rustup default stable
  else
    apt_install ca-certificates curl
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
      sh -s -- -y --no-modify-path --profile minimal --component rustfmt --component clippy ||
      fail "Rust could not be installed. Please install Rust $rust_wanted or newer, see https://rustup.rs"
  fi
}

goal=${1:-setup}

if [ -n "${PYTHON:-}" ] && ! has_python; then
  fail "PYTHON=$PYTHON cannot be used: $("$PYTHON" scripts/libpython.py 2>&1 || true)"
fi

lacking=$(missing)
[ -n "$lacking" ] || exit 0

if ! have apt-get; then
  fail "Please install what is missing here, then run make $goal again:" \
    "$(list)" \
    "Elixir with Erlang: https://elixir-lang.org/install.html   Rust: https://rustup.rs" \
    "macOS with Homebrew: brew install elixir python rustup && rustup default stable" \
    "pyenv builds a Python with a shared library by: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install 3.12"
fi

echo "Installing:"
list

as_root apt-get update -qq
has_linker || apt_install build-essential
has_erlang || apt_install erlang-nox erlang-dev erlang-dialyzer
has_elixir || apt_install elixir
has_python || install_python
has_venv || apt_install python3-venv
has_rust || install_rust

lacking=$(missing)
[ -z "$lacking" ] || fail "Still missing, and this distribution's packages do not have it:" \
  "$(list)" \
  "Elixir with Erlang: https://elixir-lang.org/install.html   Rust: https://rustup.rs"
