#!/usr/bin/env bash
# Replays the seeds of every fuzzer (tests/fuzz/replay/replay.c says how).
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
for source in tests/fuzz/*.c; do
    name=$(basename "$source" .c)
    "$B/replay/$name" "tests/fuzz/seeds/$name" || { echo "not ok - $name: exit $?"; failed=1; }
done
exit $failed
