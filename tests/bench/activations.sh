#!/usr/bin/env bash
# What 8-bit activations do to perplexity, for every type that takes them: llama-30m, the first TOKENS ids of TEXT.
# Environment: ASHLAR, SHARED, TEXT (default: text that nothing here was tuned on but calibration), TOKENS (32,768), THREADS.
set -eu
: "${ASHLAR:=build/ashlar}" "${SHARED:=../shared}" "${TOKENS:=32768}" "${THREADS:=2}"
: "${TEXT:=$SHARED/models/calibration.txt}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ppl() { "$ASHLAR" perplexity "$work/m.ashlar" --text "$TEXT" --tokens "$TOKENS" --act "$1" --threads "$THREADS" --json | sed -n 's/.*"ppl": *\([0-9.]*\).*/\1/p'; }
echo "| llama-30m, $TOKENS tokens | float activations | 8-bit activations | difference |"
echo "|----------------------|------------------:|------------------:|-----------:|"
for type in q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k; do
    "$ASHLAR" convert "$SHARED/models/llama-30m" -o "$work/m.ashlar" --type "$type" --force 2>/dev/null
    awk -v t="$type" -v x="$(ppl float)" -v y="$(ppl int8)" 'BEGIN {
        printf "| %-20s | %17.4f | %17.4f | %+9.3f%% |\n", t, x, y, 100 * (y / x - 1) }'
done
