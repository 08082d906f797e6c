#!/bin/sh
# The demo: a GGUF becomes an .ashlar file, and it talks. `make demo` sets ASHLAR, MODELS and SOURCE.
set -eu
model="$MODELS/SmolLM2-135M-Instruct.ashlar"
say() { printf '\n$ %s\n' "$*"; }

say ashlar convert "$SOURCE" -o "$model"
"$ASHLAR" convert "$SOURCE" -o "$model" --force
say ashlar inspect "$model"
"$ASHLAR" inspect "$model"
say ashlar chat "$model"
question="What is an ashlar stone? Answer in one sentence."
echo "> $question"
printf '%s\n' "$question" | "$ASHLAR" chat "$model" --temp 0 -n 96
if [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && [ -z "${CI:-}" ]; then
    say ashlar chat "$model"
    exec "$ASHLAR" chat "$model"
fi
printf '\nTalk with it: %s chat %s\n' "$ASHLAR" "$model"
