#!/usr/bin/env bash
# What stands in for tests whose compiler or library is absent: with CI set it fails and says what is missing, else it is
# skipped and says so. And CI's own command sets CI.
. "$(dirname "$0")/lib.inc"
here=$(dirname "$0")/../..
export CMOCKA_MESSAGE_OUTPUT=TAP

# name, what must be named, command...: its TAP output with and without CI. run.sh counts "not ok" without SKIP as failed.
stands_in() {
    local name=$1 missing=$2; shift 2
    local failed skipped failed_code skipped_code
    failed=$(CI=1 "$@" 2>&1 </dev/null) ; failed_code=$?
    skipped=$(env -u CI "$@" 2>&1 </dev/null) ; skipped_code=$?
    code=$failed_code out=$failed err=""
    check "$name: on CI a failure" [ "$failed_code" != 0 ]
    check "  in TAP" [ "$(grep -E '^not ok ' <<<"$failed" | grep -cv '# SKIP')" -ge 1 ]
    check "  that says what is missing" holds "$failed" "$missing" "not installed"
    code=$skipped_code out=$skipped
    check "  elsewhere skipped" [ "$skipped_code" = 0 ]
    check "  never passed" [ "$(grep -E '^(not )?ok ' <<<"$skipped" | grep -cv '# SKIP')" = 0 ]
    check "  and says why" holds "$skipped" "$missing" "not installed"
}

stands_in "the programs that run device code" "clang-19, lld-19 or llvm-19-dev" "$B/tests/gfx12_absent"
# A build folder without the stand-in for HIP.
mkdir -p "$TEST_TMP/empty"
stands_in "the programs that need the stand-in for HIP" "clang-19, lld-19 or llvm-19-dev" env B="$TEST_TMP/empty" "$B/tests/test_hip_failures"
stands_in "the kernels for arm64" "gcc-aarch64-linux-gnu, libc6-dev-arm64-cross or qemu-user" bash "$here/tests/arm64/absent.sh"
# The shell's own commands and coreutils, no compiler.
mkdir -p "$TEST_TMP/bin"
for tool in bash cat dirname env mktemp rm; do ln -sf "$(command -v $tool)" "$TEST_TMP/bin/"; done
stands_in "the fragments of tiles" "clang-19" env PATH="$TEST_TMP/bin" bash "$here/tests/cli/gfx12_fragment.sh"

# .ci/run with a make that says what it is given.
mkdir -p "$TEST_TMP/make"
printf '#!/bin/sh\necho "make $* with CI=${CI:-}"\n' >"$TEST_TMP/make/make"
chmod +x "$TEST_TMP/make/make"
out=$(env -u CI PATH="$TEST_TMP/make:$PATH" "$here/.ci/run" 2>&1)
code=$?
check "CI's command is make check, with CI set" [ "$out" = "make check with CI=1" ]
out=$(CI=yes PATH="$TEST_TMP/make:$PATH" "$here/.ci/run" 2>&1)
check "  as it is where it is set" [ "$out" = "make check with CI=yes" ]
done_testing
