#!/usr/bin/env bash
# Runs dialyzer over the compiled project. What it knows of Erlang and Elixir is kept in a PLT under
# _build, made once for each pair of versions (a minute or two).
set -euo pipefail
cd "$(dirname "$0")/.."

beams=_build/dev/lib/erlang_python/ebin

versions=$(elixir -e '
  otp = Path.join([:code.root_dir(), "releases", System.otp_release(), "OTP_VERSION"])
  IO.puts("otp-#{String.trim(File.read!(otp))}-elixir-#{System.version()}")
  for app <- [:elixir, :logger, :mix, :ex_unit], do: IO.puts(Application.app_dir(app, "ebin"))
')
plt="_build/dialyzer/$(head -n 1 <<<"$versions").plt"
mapfile -t elixir_beams < <(tail -n +2 <<<"$versions")

if [ ! -f "$plt" ]; then
  mkdir -p "$(dirname "$plt")"
  echo "Building $plt"
  # Exit status 2 tells of warnings in Erlang's and Elixir's own code: not ours to judge.
  dialyzer --build_plt --quiet --output_plt "$plt.new" \
    --apps erts kernel stdlib crypto compiler syntax_tools runtime_tools -r "${elixir_beams[@]}" || [ $? = 2 ]
  mv "$plt.new" "$plt"
fi

dialyzer --plt "$plt" --quiet --fullpath \
  -Wunknown -Werror_handling -Wextra_return -Wmissing_return -r "$beams"
echo "dialyzer: no warnings"
