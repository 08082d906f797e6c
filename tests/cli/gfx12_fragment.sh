#!/usr/bin/env bash
# The Q4_K and F8_E4M3 tiles become 128-bit loads without shuffles on gfx12: compiles tests/gfx12/fragment.hip and reads
# the disassembly. Needs clang-19, ld.lld-19 and llvm-objdump-19 (Debian packages clang-19, lld-19, llvm-19); where they are absent it is
# skipped, on CI a failure.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d "${TEST_TMP:-/tmp}/gfx12.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
number=0 failed=0

report() { # name, then the reasons why it failed, one a line; none: passed
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
        failed=1
    fi
}

compile() { # target, output, more flags
    local target=$1 out=$2; shift 2
    clang-19 -x hip --offload-arch="$target" --cuda-device-only --no-gpu-bundle-output -nogpuinc -nogpulib -O2 \
        -Wall -Wextra -Werror "$@" tests/gfx12/fragment.hip -o "$out.co" 2>"$out.err" || return 1
    # One instruction a line, without addresses and encodings.
    llvm-objdump-19 -d --no-show-raw-insn "$out.co" | sed 's|//.*||; s/[[:space:]]*$//' >"$out.s"
}

body() { # file, kernel: its instructions up to the end of the program
    awk -v want="<$2>:" 'index($0, want) { on = 1; next } on { print } on && /s_endpgm/ { exit }' "$1"
}

# Instructions that narrow loads or data movement between lanes and bytes would need. LDS, permutes and DPP move data
# between lanes; v_perm, v_align, bit-field extracts and sub-dword selects rearrange bytes within one.
FORBIDDEN='ds_|buffer_|scratch_|flat_|v_perm|permlane|_dpp|_sdwa|v_alignb|v_bfe|v_bfi|readlane|writelane|_d16|v_pack'
FORBIDDEN="$FORBIDDEN|v_mov_b16"

check() { # kernel body file, b128 loads, wmma name, wmmas, masks: prints what is wrong
    local n
    n=$(grep -c 'global_load_b128' "$1")
    [ "$n" = "$2" ] || echo "$n loads of 128 bits, not $2"
    n=$(grep 'global_load' "$1" | grep -vc 'global_load_b128')
    [ "$n" = 0 ] || { echo "$n narrower loads:"; grep 'global_load' "$1" | grep -v 'global_load_b128'; }
    n=$(grep -c "$3" "$1")
    [ "$n" = "$4" ] || echo "$n times $3, not $4"
    n=$(grep -Ec 'v_and_b32.*0xf0f0f0f' "$1")
    [ "$n" = "$5" ] || echo "$n nibble masks, not $5"
    grep -E "$FORBIDDEN" "$1"
}

# Q4_K: one shift for each of a lane's 4 words, so that their upper nibbles meet the same mask. FP8: none.
shifts() { # kernel body file, shifts
    local n
    n=$(grep -Ec 'v_lshrrev_b32[a-z0-9_]* v[0-9]+, 4, v[0-9]+' "$1")
    [ "$n" = "$2" ] || echo "$n shifts by 4, not $2"
}

# FP8: the four registers of one load are the B operands of two WMMAs, unchanged.
fp8_operands() { # kernel body file
    local used pair
    used=$(sed -n 's/.*v_wmma_f32_16x16x16_fp8_fp8 v\[[0-9:]*\], v\[[0-9:]*\], v\[\([0-9:]*\)\].*/\1/p' "$1" |
        tr '\n' ' ')
    for pair in $(sed -n 's/.*global_load_b128 v\[\([0-9]*\):[0-9]*\].*/\1/p' "$1"); do
        [ "$used" = "$pair:$((pair + 1)) $((pair + 2)):$((pair + 3)) " ] && return
    done
    echo "the WMMAs take v[$used], which no single load brought"
}

q4_k_reasons() { check "$1" 4 v_wmma_i32_16x16x16_iu8 4 8; shifts "$1" 4; } # header, nibbles, 2 of activations
f8_reasons() { check "$1" 2 v_wmma_f32_16x16x16_fp8_fp8 2 0; shifts "$1" 0; fp8_operands "$1"; } # weights, activations

for tool in clang-19 ld.lld-19 llvm-objdump-19; do
    command -v "$tool" >/dev/null && continue
    echo "1..1"
    if [ -n "${CI:-}" ]; then
        echo "not ok 1 - gfx12 fragments: $tool is not installed"
        exit 1
    fi
    echo "ok 1 - gfx12 fragments # SKIP $tool is not installed"
    exit 0
done
for target in gfx1200 gfx1201; do
    if ! compile "$target" "$work/$target"; then
        report "$target: the fragments compile" "$(head -5 "$work/$target.err")"
        continue
    fi
    report "$target: the fragments compile" ""
    body "$work/$target.s" q4_k_fragment >"$work/q4_k"
    body "$work/$target.s" f8_fragment >"$work/f8"
    report "$target: a Q4_K fragment is two 128-bit loads, masks and WMMA" "$(q4_k_reasons "$work/q4_k")"
    report "$target: an FP8 fragment is one 128-bit load that feeds two WMMAs" "$(f8_reasons "$work/f8")"
done

# The checks must be able to fail: GGUF's and the row-major order need narrower loads.
if compile gfx1201 "$work/source" -DSOURCE_ORDER; then
    body "$work/source.s" q4_k_fragment >"$work/q4_k"
    body "$work/source.s" f8_fragment >"$work/f8"
    reason=""
    q4_k_reasons "$work/q4_k" | grep -q 'narrower loads' || reason="Q4_K in the order of GGUF passes"
    f8_reasons "$work/f8" | grep -q 'narrower loads' || reason="$reason FP8 in row-major order passes"
    report "the checks notice weights in their source order" "$reason"
else
    report "the checks notice weights in their source order" "$(head -5 "$work/source.err")"
fi
echo "1..$number"
exit $failed
