#!/usr/bin/env bash
# Runs dialyzer over the compiled project. What it knows of Erlang and Elixir is kept in a PLT under
# _build, made once for each pair of versions (a minute or two).
set -euo pipefail
cd "$(dirname "$0")/.."

app=_build/dev/lib/erlang_python
beams=_build/dialyzer/beams

{
  read -r versions
  read -r ERL_LIBS
} < <(elixir -e '
  otp = Path.join([:code.root_dir(), "releases", System.otp_release(), "OTP_VERSION"])
  IO.puts("otp-#{String.trim(File.read!(otp))}-elixir-#{System.version()}")
  IO.puts(Path.dirname(Application.app_dir(:elixir)))
')
plt=_build/dialyzer/$versions.plt

# dialyzer reads the beams of Elixir modules with the help of Elixir's own.
export ERL_LIBS

if [ ! -f "$plt" ]; then
  mkdir -p "$(dirname "$plt")"
  echo "Building $plt"
  # Exit status 2 tells of warnings in Erlang's and Elixir's own code: not ours to judge.
  dialyzer --build_plt --quiet --output_plt "$plt.new" \
    --apps erts kernel stdlib crypto compiler elixir logger mix ex_unit || [ $? = 2 ]
  mv "$plt.new" "$plt"
fi

# A protocol as it was compiled names an implementation for every built-in type, there or not; as Mix
# consolidates it, only those that are there.
rm -rf "$beams"
mkdir -p "$beams"
cp "$app"/ebin/*.beam "$beams"
for protocol in "$app"/consolidated/*; do
  if [ -f "$beams/${protocol##*/}" ]; then cp "$protocol" "$beams"; fi
done

# Not --quiet: with it OTP 25 fails for an unknown function without naming it.
dialyzer --plt "$plt" --fullpath -Wunknown -Wextra_return -r "$beams"
