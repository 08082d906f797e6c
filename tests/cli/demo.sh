#!/usr/bin/env bash
# `make demo` from a clean clone, as nobody is watching: it builds, converts, inspects and answers.
. "$(dirname "$0")/lib.inc"
if ! git rev-parse --git-dir >/dev/null 2>&1; then
    skip "make demo from a clean clone" "this is no git checkout"
elif [ "${B:-build}" != build ]; then
    skip "make demo from a clean clone" "another build than the default one is under test"
else
    clone="$TEST_TMP/clone"
    git clone -q . "$clone"
    # The model that this checkout has fetched; make demo fetches it where there is none.
    if [ -e "$SMOLLM2_GGUF" ]; then
        mkdir -p "$clone/build/models"
        cp "$SMOLLM2_GGUF" "$clone/build/models/"
    fi
    env -u MAKEFLAGS -u MAKELEVEL make -C "$clone" -j2 demo >"$TEST_TMP/.out" 2>"$TEST_TMP/.err" </dev/null
    code=$? out=$(grep -v '^  [A-Z][A-Z]' "$TEST_TMP/.out") err=$(cat "$TEST_TMP/.err")
    check "make demo ends well" [ "$code" = 0 ]
    check "  it converts" holds "$err" "wrote build/models/SmolLM2-135M-Instruct.ashlar"
    check "  it inspects" holds "$out" "q4_1"
    check "  it answers" grep -qi "stone" <(sed '1,/^> What is an ashlar/d' "$TEST_TMP/.out")
    check "  it prints load time and speed" holds "$err" "loaded in"
    check "  it leaves no chat open" holds "$out" "Talk with it"
    check "  and nothing untracked beside build/" [ -z "$(git -C "$clone" status --porcelain)" ]
    rm -rf "$clone"
fi
done_testing
