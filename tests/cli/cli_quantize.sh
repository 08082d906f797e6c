#!/usr/bin/env bash
# convert --type and quantize as a user meets them: table, dry run, rules, report, warnings, usage errors.
. "$(dirname "$0")/lib.inc"
model="$SHARED/models/llama-30m"
kept="$TEST_TMP/kept.ashlar" out_file="$TEST_TMP/out.ashlar" page="$TEST_TMP/page.html"

ash quantize x -o y
check "quantize without --type: exit 2" failed_with 2 "--type TYPE"
ash convert x -o y --type fp8 --fp8-scale block
check "an unknown --fp8-scale: exit 2" failed_with 2 "block" "tensor and row"
ash convert x -o y --tensor 'blk.0.attn_v.weight'
check "a rule without a type: exit 2" failed_with 2 "PATTERN=TYPE"
ash convert x --dry-run --report "$page"
check "a report of a dry run: exit 2" failed_with 2 "--report"
if [ ! -d "$model" ]; then skip "quantizing llama-30m" "SHARED has no llama-30m"; done_testing; exit 0; fi

ash convert "$model" --type q4_k_m --dry-run
check "dry run: sizes by type" holds "$err" "q6_k            7"
check "  what fits a card" holds "$err" "16 GB card: "
check "  and nothing printed to stdout" [ "$code$out" = 0 ]
ash convert "$model" -o "$kept"
check "convert" [ "$code" = 0 ]
check "  every type is exact" holds "$err" "exact"
ash quantize "$kept" -o "$out_file" --type q4_k_m --tensor 'blk.3.ffn_down.weight=q8_0' --tensor 'blk.*.ffn_down.weight=q5_k' --report "$page"
check "quantize a mix with rules" [ "$code" = 0 ]
check "  of rules that match, the first counts" [ "$(printf '%s\n' "$err" | grep -cE '^  (q8_0 +1|q5_k +6) ')" = 2 ]
check "  no warning about a source that is not quantized" [ "$(printf '%s\n' "$err" | grep -c again)" = 0 ]
ash verify "$out_file"
check "  verify" [ "$code" = 0 ]
check "  the report plots every kind of matrix" [ "$(grep -c '<svg' "$page")" = 7 ]
check "  and names every matrix" [ "$(grep -c '<tr><td>model.layers' "$page")" = 49 ]
check "  and loads nothing from anywhere" [ "$(grep -c 'http' "$page")" = 0 ]
check "  every plot has its own matrices alone" [ "$(grep -c '<circle' "$page")" = 49 ]
check "  and ends at the last layer" [ "$(grep -c '>6</text></svg>' "$page")" = 7 ]
check "  the largest error is a twentieth below the top" grep -q ' cy="15.2"' "$page"
check "  errors of types are percents" [ "$(sed -n 's/^<tr><td>q4_k<td>.*<td>\([0-9]*\)\.[0-9]*<.tr>$/\1/p' "$page")" -ge 5 ]
check "  no matrix is called exact" [ "$(grep -c exact "$page")" = 0 ]
ash quantize "$out_file" -o "$TEST_TMP/again.ashlar" --type fp8 --fp8-scale row
check "quantize what is quantized" [ "$code" = 0 ]
check "  warns once, with the reason" [ "$(printf '%s\n' "$err" | grep -c 'quantized again: their errors add up')" = 1 ]
ash quantize "$kept" -o "$TEST_TMP/a<b>&\"c.ashlar" --type fp8 --report "$page"
check "a report of a type that keeps some: those are exact" [ "$(grep -c '(kept)<.*<td>exact</tr>' "$page")" = 2 ]
check "  and names are text" grep -qF 'a&lt;b&gt;&amp;&quot;c.ashlar' "$page"
ash quantize "$kept" -o "$TEST_TMP/none.ashlar" --type q8_0 --tensor 'blk.77.*=q4_k'
check "a rule that names nothing" failed_with 1 "blk.77" "names no matrix"
check "  and nothing is written" [ ! -e "$TEST_TMP/none.ashlar" ]
ash quantize "$kept" -o "$TEST_TMP/none.ashlar" --type q8_0 --report "$TEST_TMP/no/such/page.html"
check "a report that cannot be written: exit 1, said" holds "$code $err" "the model itself is written"
done_testing
