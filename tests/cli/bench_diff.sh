#!/usr/bin/env bash
# ashlar bench --diff, with fixed files. Every row has five runs around 100 whose quartiles are 2 away from the median;
# in the second file the limit of bytes is 40% higher, that of int8 2%.
. "$(dirname "$0")/lib.inc"
before=tests/fixtures/bench_before.json after=tests/fixtures/bench_after.json
row() { grep -E "^$1 +$2 at +$3 " <<<"$out"; } # kind tokens depth
says() { # description kind tokens depth pattern: that row ends so
    local line; line=$(row "$2" "$3" "$4")
    if grep -qE -- "$5\$" <<<"$line"; then ok "$1"; else not_ok "$1" "wanted: $5" "$out"; fi
}
ash bench --diff $before $after
check "bench --diff: exit 0" [ "$code$err" = 0 ]
# 2 * 1.86 * sqrt((2/100)^2 + (2/103)^2) / sqrt(5)
says "3% more are within the noise of 4.6%" prefill 128 0 " 100\.0 +103\.0 +\+3\.0%  noise  4\.6%  no difference"
says "30% more are faster" prefill 256 0 " \+30\.0%  noise  4\.7%  faster"
says "30% less are slower" prefill 512 0 " -30\.0%  noise  4\.7%  slower"
says "two runs are too few" prefill 1024 0 "too few runs to tell"
says "as much more as the machine reads is the limit's" decode 64 0 " \+40\.0%  noise +[0-9.]+%  faster, as the limit of bytes is \(\+40\.0%\)"
says "less while the machine reads more is not" decode 64 4096 "slower"
says "more than that is not" "decode x4" 64 0 " \+60\.0%  noise +[0-9.]+%  faster"
says "a row against another limit is not" decode 16 0 " \+30\.0%  noise +[0-9.]+%  faster"
says "a row that the second lacks" decode 8 0 "only in $before"
says "a row that the first lacks" decode 32 0 "only in $after"
check "how the limits moved: bytes" grep -qE '^bytes +20\.000 +28\.000 +\+40\.0%  GB/s$' <<<"$out"
check "  int8" grep -qE '^int8 +0\.500 +0\.510 +\+2\.0%  T/s$' <<<"$out"
check "  none that a file lacks" [ "$(grep -cE '^(bf16|f32) ' <<<"$out")" = 1 ]
heads() { # line text first: that line is the header, the next one begins so
    [ "$(sed -n "$1s/ \{1,\}/ /gp" <<<"$out"):$(sed -n "$(($1 + 1))s/ .*//p" <<<"$out")" = "$2:$3" ]
}
check "  under a header of their own" heads 1 "limit of this machine before after" bytes
check "rows right under theirs" heads 6 " tokens depth before after" prefill
check "  with an empty line before it" [ -z "$(sed -n 5p <<<"$out")" ]
for f in before after; do sed 's/"limits"/"other"/' ${!f} >"$TEST_TMP/$f.json"; done
ash bench --diff "$TEST_TMP/before.json" "$TEST_TMP/after.json"
check "no limits in the files: no table of them" heads 1 " tokens depth before after" prefill
ash bench --diff $after $before
says "the other way round: 30% of 130 less" prefill 256 0 " -23\.1%  noise  4\.7%  slower"
says "  and as the limit is" decode 64 0 "slower, as the limit of bytes is \(-28\.6%\)"
ash bench --diff $before tests/fixtures/peer_quant_error.json
check "another file: exit 1, one line" failed_with 1 peer_quant_error.json
sed 's/"prefill"/"decode"/; s/"tokens": [0-9]*/"tokens": 7/' $before >"$TEST_TMP/other.json"
ash bench --diff $before "$TEST_TMP/other.json"
check "no row in common: exit 1, one line" failed_with 1 "no row in common"
done_testing
