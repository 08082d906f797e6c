#!/usr/bin/env bash
# Puts standard input into FILE between <!-- NAME --> and <!-- /NAME -->. usage: paste.sh NAME FILE
set -eu
text=$(mktemp) && cat >"$text"
[ -s "$text" ] && grep -qx "<!-- $1 -->" "$2" && grep -qx "<!-- /$1 -->" "$2" || { rm -f "$text"; echo "$2: no place for $1, or nothing to put there" >&2; exit 1; }
awk -v from="<!-- $1 -->" -v to="<!-- /$1 -->" -v text="$text" '
    $0 == to { inside = 0 }
    !inside { print }
    $0 == from { inside = 1; while ((getline l < text) > 0) print l }' "$2" >"$2.new"
rm -f "$text"
mv "$2.new" "$2"
