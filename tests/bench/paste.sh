#!/usr/bin/env bash
# Puts standard input into FILE between <!-- NAME --> and <!-- /NAME -->. usage: paste.sh NAME FILE
#
# A table that says less than the one that stands there is refused: what begins a row (its cells in front of the first
# number) must begin one of the new rows, with a figure wherever the old one has one. A row that is gone for good is taken
# out of FILE by hand first.
set -eu
text=$(mktemp) && trap 'rm -f "$text"' EXIT && cat >"$text"
[ -s "$text" ] && grep -qx "<!-- $1 -->" "$2" && grep -qx "<!-- /$1 -->" "$2" || { echo "$2: no place for $1, or nothing to put there" >&2; exit 1; }
awk -v from="<!-- $1 -->" -v to="<!-- /$1 -->" -v name="$1" -v file="$2" -F'|' '
    # Sets key, id (with what heads its table), and filled: which cells of the row are. False: not a row of figures.
    function row(line,   n, i, cell) {
        if (line !~ /^\|/ || line ~ /^\|[-:|]*$/) return 0
        n = split(line, cell, "|"); key = ""; filled = ""
        for (i = 2; i < n; i++) { gsub(/^ +| +$/, "", cell[i]); filled = filled (cell[i] == "" ? "-" : "x") }
        for (i = 2; i < n && cell[i] !~ /^[-+]?[0-9.e+-]+%?$/; i++) key = key (i > 2 ? ", " : "") cell[i]
        id = head SUBSEP key
        if (i == n) head = cell[2]
        return i < n
    }
    # What a row like this needs, and a figure of the peer.
    function needs(key, peer) {
        if (key ~ /, AVX2/) return "PEER_PYTHON_AVX2"
        if (key ~ /^llama-1b/ && !peer) return key ~ / 4096/ ? "LLAMA_1B and LONG_ROUNDS" : "LLAMA_1B and ROWS"
        if (peer) return "PEER_PYTHON"
        return key ~ / 4096/ ? "LONG_ROUNDS" : "ROWS and PEER_PYTHON"
    }
    FNR == NR { if (row($0)) have[id] = filled; next }
    $0 == to { inside = 0 }
    $0 == from { inside = 1 }
    inside && row($0) {
        for (i = 1; i <= length(filled); i++)
            if (!(id in have) || substr(filled, i, 1) == "x" && substr(have[id], i, 1) != "x") {
                if (!lost++) { first = key; set = needs(key, id in have) }
                break
            }
    }
    END { if (lost) { printf "%s: %d row%s of the table %s would be lost or have a gap, the first: %s; set %s (the script that measures says what that is)\n",
              file, lost, lost == 1 ? "" : "s", name, first, set; exit 1 } }' "$text" "$2" >&2
awk -v from="<!-- $1 -->" -v to="<!-- /$1 -->" -v text="$text" '
    $0 == to { inside = 0 }
    !inside { print }
    $0 == from { inside = 1; while ((getline l < text) > 0) print l }' "$2" >"$2.new"
mv "$2.new" "$2"
