#!/usr/bin/env bash
# Reads what `mix test` printed, and prints how many tests ran and how many of them failed; "- -" where
# it did not come to its end. Elixir 1.20 words it differently:
#
#   4 doctests, 12 tests, 2 failures, 1 excluded
#
#   Result: 13/15 passed, 1 excluded
set -euo pipefail

# A test may print without ending its line, and colours where it likes.
sed 's/\x1b\[[0-9;]*m//g' | awk '
  match($0, /([0-9]+ (doctests?|propert(y|ies)|tests?), )+[0-9]+ failures?/) {
    parts = split(substr($0, RSTART, RLENGTH), part, ", ")
    ran = 0
    for (i = 1; i < parts; i++) ran += part[i]
    failed = part[parts] + 0
    left = substr($0, RSTART + RLENGTH)
    while (match(left, /[0-9]+ (excluded|skipped)/)) {
      ran -= substr(left, RSTART, RLENGTH) + 0
      left = substr(left, RSTART + RLENGTH)
    }
    found = 1
  }
  match($0, /Result: [0-9]+(\/[0-9]+)? passed/) {
    split(substr($0, RSTART + 8, RLENGTH - 8), part, /[\/ ]/)
    ran = part[2] ~ /^[0-9]+$/ ? part[2] : part[1]
    failed = ran - part[1]
    found = 1
  }
  END { print(found ? ran + 0 " " failed + 0 : "- -") }
'
