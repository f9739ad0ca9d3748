#!/usr/bin/env bash
# Fails unless the Hex package of this checkout is fit to be published. RELEASE.md says when it runs;
# checksum-erlang_python.exs has to be there.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "check_package.sh: $1" >&2
  exit 1
}

version=$(sed -nE 's/^  @version "(.+)"$/\1/p' mix.exs)
tag=${1-v$version}

[ "$tag" = "v$version" ] || fail "the tag is $tag, and mix.exs has version $version"
case $version in *-dev) fail "$version is a development version" ;; esac
if grep -q 'github.com/OWNER' mix.exs; then fail "put the owner into @source_url in mix.exs"; fi
if grep -rq 'github.com/OWNER' README.md guides livebooks; then fail "put the owner into README.md, guides and livebooks"; fi
grep -qF "## [$version]" CHANGELOG.md || fail "CHANGELOG.md has no section [$version]"
[ -f checksum-erlang_python.exs ] || fail "make checksum-erlang_python.exs: mix python.release.checksums"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mix hex.build --unpack --output "$folder/package" >"$folder/log" || { cat "$folder/log"; exit 1; }

# Sources and text only.
unwanted=$(cd "$folder/package" && find . -type f ! -name '*.ex' ! -name '*.exs' ! -name '*.erl' ! -name '*.py' \
  ! -name '*.rs' ! -name '*.toml' ! -name '*.md' ! -name '*.cheatmd' ! -name '*.livemd' ! -name Cargo.lock ! -name LICENSE ! -name hex_metadata.config)
[ -z "$unwanted" ] || fail "not for the package: $unwanted"

for target in {x86_64,aarch64}-{unknown-linux-gnu,unknown-linux-musl,apple-darwin}; do
  name=liberlang_python-v$version-nif-2.15-$target.so.tar.gz
  grep -q "\"$name\" => \"sha256:[0-9a-f]\{64\}\"" "$folder/package/checksum-erlang_python.exs" ||
    fail "no checksum of $name"
done
grep -q rustler_precompiled "$folder/package/hex_metadata.config" ||
  fail "the package does not ask for rustler_precompiled: was ERLANG_PYTHON_BUILD set?"

echo "The package $version is complete: $(cd "$folder/package" && find . -type f | wc -l) files"
