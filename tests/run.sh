#!/usr/bin/env bash
# Runs every test program and adds up its TAP lines. Environment: B (build folder), SHARED, SMOLLM2_GGUF.
#
# A program prints "1..N" and one "ok" or "not ok" line a test (cmocka does so with CMOCKA_MESSAGE_OUTPUT=TAP; the
# scripts under tests/cli do it by hand, plan last). "ok K # SKIP reason" (cmocka: "not ok K # SKIP name", its reason on
# a "# skip" line) counts as skipped, never as passed. A program that crashes, times out, prints no plan or fewer
# results than planned, or exits nonzero without a "not ok" adds a failure, and the run goes on.
# ONLY=name runs the programs whose name contains it, ARM64_ONLY=1 those of arm64 alone. ASHLAR_TEST_SEED (1) is what
# random inputs come of; a failed program's lines begin with it, where it has any.
set -u
: "${B:=build}" "${SHARED:=../shared}" "${TEST_TIMEOUT:=600}"
export B SHARED SMOLLM2_GGUF CMOCKA_MESSAGE_OUTPUT=TAP
export ASHLAR="$PWD/$B/ashlar"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache" # no test touches the user's own
passed=0 failed=0 skipped=0

run_one() { # name command...
    local name=$1; shift
    case "$name" in *"${ONLY:-}"*) ;; *) return ;; esac
    local out="$work/out" start=$SECONDS rc ok bad skip plan broken=""
    export TEST_TMP="$work/$name.tmp"; mkdir -p "$TEST_TMP"
    timeout -k 5 "$TEST_TIMEOUT" "$@" >"$out" 2>"$work/err" </dev/null
    rc=$?
    skip=$(grep -cE '^(not )?ok .*# SKIP' "$out")
    ok=$(grep -E '^ok ' "$out" | grep -cv '# SKIP')
    bad=$(grep -E '^not ok ' "$out" | grep -cv '# SKIP')
    plan=$(sed -n 's/^1\.\.\([0-9][0-9]*\).*/\1/p' "$out" | awk '{n+=$1} END {print n+0}')
    if [ "$rc" = 124 ]; then broken="timed out after $TEST_TIMEOUT s"
    elif [ "$rc" -gt 128 ]; then broken="killed by signal $((rc - 128))"
    elif [ "$plan" = 0 ]; then broken="printed no plan"
    elif [ $((ok + bad + skip)) -lt "$plan" ]; then broken="ended after $((ok + bad + skip)) of $plan tests, exit $rc"
    elif [ "$rc" != 0 ] && [ "$bad" = 0 ]; then broken="exit $rc without a failed test"
    fi
    printf '%-28s %4d passed' "$name" "$ok"
    [ "$bad" != 0 ] && printf ', %d failed' "$bad"
    [ "$skip" != 0 ] && printf ', %d skipped' "$skip"
    printf '  (%d s)\n' $((SECONDS - start))
    grep -E '^# (measure|skip)' "$out" | sed 's/^/    /'
    grep -E '^(not )?ok .*# SKIP' "$out" | sed -E 's/^(not )?ok/skipped/' | sed 's/^/    /'
    if [ "$bad" != 0 ] || [ -n "$broken" ]; then
        [ -n "$broken" ] && { printf '    BROKEN: %s\n' "$broken"; bad=$((bad + 1)); }
        {
            grep -m1 -E '^# seed ' "$out"
            grep -A12 -E '^not ok' "$out" | grep -v '# SKIP'
            tail -n 25 "$work/err"
        } | cut -c1-240 | sed 's/^/    /'
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    rm -rf "$TEST_TMP"
}

# The kernels of arm64, against scalar; the scalar ones themselves are tested where they are fast.
run_arm64() {
    local program name
    if ! command -v qemu-aarch64 >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
        run_one arm64 bash tests/arm64/absent.sh
        return
    fi
    for program in build/arm64/arm64/*; do
        name=$(basename "$program")
        run_one "arm64_${name#test_}" qemu-aarch64 "$program" --without _scalar
    done
}
if [ -n "${ARM64_ONLY:-}" ]; then
    run_arm64
else
for source in tests/unit/*.c; do
    name=$(basename "$source" .c)
    run_one "$name" "$B/tests/$name"
done
if [ -e "$B/tests/test_kernels_evex" ]; then run_one test_kernels_evex "$B/tests/test_kernels_evex" --only _avxvnni; fi
for script in tests/cli/*.sh; do
    [ -e "$script" ] || continue
    run_one "$(basename "$script" .sh)" bash "$script"
done
# Sanitizers' flavours have their own folder: they run what is theirs.
if [ "$B" = build ]; then run_arm64; fi
fi

also=""
[ "$skipped" != 0 ] && also=", $skipped skipped"
echo "$passed passed, $failed failed$also"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
