#!/usr/bin/env bash
# The main job with a real model: SmolLM2-135M-Instruct from GGUF through every verb.
. "$(dirname "$0")/lib.inc"
if [ ! -e "$SMOLLM2_GGUF" ]; then
    skip "SmolLM2 through every verb" "SmolLM2's GGUF has not been fetched"
    done_testing
    exit 0
fi
model="$TEST_TMP/smol.ashlar"

ash convert "$SMOLLM2_GGUF" --dry-run
check "dry run: exit 0, sizes, no file" holds "$code $err" "nothing written"
check "dry run leaves nothing behind" [ -z "$(ls "$TEST_TMP" | grep -v '^\.')" ]
ash convert "$SMOLLM2_GGUF" -o "$model"
check "convert" [ "$code" = 0 ]
check "convert says what it wrote" holds "$err" "wrote $model"
first=$(cksum <"$model")
ash convert "$SMOLLM2_GGUF" -o "$model"
check "an existing output is not replaced" failed_with 1 "$model" "--force"
ash convert "$SMOLLM2_GGUF" -o "$model" --force --threads 1
check "--force replaces it" [ "$code" = 0 ]
check "the same bytes again, on one thread" [ "$first" = "$(cksum <"$model")" ]
# 16-row panels, 4096-byte alignment, headers of partial tiles, tokenizer: a few percent
size=$(stat -c %s "$model") source_size=$(stat -c %s "$SMOLLM2_GGUF")
check "the file is at most 10% larger than its source ($size, $source_size)" [ $((size * 10)) -le $((source_size * 11)) ]

ash inspect "$model"
check "inspect" holds "$code $out" "q4_1"
check "inspect names the architecture" holds "$out" "llama"
ash inspect "$model" --json
check "inspect --json is JSON" python3 -c 'import json,sys; d=json.loads(sys.argv[1]); assert d["kind"]=="ashlar" and d["meta"] and len(d["tensors"])>100' "$out"
ash inspect "$SMOLLM2_GGUF" --tensors
check "inspect of a GGUF lists tensors" holds "$out" "blk.29.ffn_down.weight"
ash verify "$model"
check "verify" holds "$code $out" "all checksums right"

ash export "$model" --to gguf -o "$TEST_TMP/back.gguf"
check "export" [ "$code" = 0 ]
check "the exported GGUF equals the source byte for byte" cmp -s "$TEST_TMP/back.gguf" "$SMOLLM2_GGUF"
rm -f "$TEST_TMP/back.gguf"

ash run "$model" -p "The capital of France is" -n 8 --temp 0
check "run completes a prompt" holds "$code $out" "0  Paris"
check "run prints context and KV cache" holds "$err" "context 8192 tokens, KV cache"
text=$out
ash run "$model" -p "The capital of France is" -n 8 --temp 0 --threads 1 --json
check "run --json" python3 -c '
import json,sys
d=json.loads(sys.argv[1]); assert set(d)=={"prompt_ids","ids","text","load_s","pp_tok_s","tg_tok_s"}, d
assert len(d["ids"])<=8 and d["text"].strip()==sys.argv[2].strip() and d["load_s"]>0 and d["tg_tok_s"]>0' "$out" "$text"
ash run "$model" -p "Once upon a time" -n 24 --temp 1 --seed 7
once=$out
ash run "$model" -p "Once upon a time" -n 24 --temp 1 --seed 7 --threads 1
check "the same seed gives the same text, on any number of threads" [ "$once" = "$out" ]
ash run "$model" -p "Once upon a time" -n 24 --temp 1 --seed 8
check "another seed gives another text" [ "$once" != "$out" ]
ash run "$model" -p "one two three four five six seven eight nine ten" -n 64 --temp 0 --ctx 16
check "a full context ends the text and says so" holds "$code $err" "context of 16 tokens is full"
ash run "$model" -p "one two three four five six seven eight nine ten" -n 64 --temp 0 --ctx 4
check "a prompt longer than the context: exit 1, one line" failed_with 1 "10 tokens" "--ctx"

printf 'Hello <|im_start|> w\303\266rld\n' >"$TEST_TMP/text"
ash tokenize "$model" --text "$TEST_TMP/text"
plain=$out
check "tokenize" [ "$code" = 0 ]
printf '%s\n' "$plain" >"$TEST_TMP/ids"
ash tokenize "$model" --text "$TEST_TMP/ids" --decode
check "tokenize --decode gives the text back" cmp -s "$TEST_TMP/.out" "$TEST_TMP/text"
ash tokenize "$model" --text "$TEST_TMP/text" --special --json
check "special tokens are parsed only when asked" python3 -c '
import json,sys; a=json.loads(sys.argv[1])["ids"]; b=[int(i) for i in sys.argv[2].split()]; assert 1 in a and 1 not in b' "$out" "$plain"

head -c 3000 README.md >"$TEST_TMP/readme"
ash perplexity "$model" --text "$TEST_TMP/readme" --tokens 300 --window 128 --json
check "perplexity --json" python3 -c '
import json,sys,math; d=json.loads(sys.argv[1]); assert set(d)=={"tokens","nll","ppl"} and 1<d["ppl"]<500 and abs(math.exp(d["nll"])/d["ppl"]-1)<1e-6' "$out"
# Keys and values in fewer bits: other sums, about the same model.
check "perplexity in a cache of every type" python3 -c '
import json, subprocess, sys
ppl = [json.loads(subprocess.run(sys.argv[1:] + ["--kv", kv], capture_output=True, check=True).stdout)["ppl"] for kv in ("f16", "q8_0", "fp8")]
assert all(1e-7 < abs(p / ppl[0] - 1) < 0.1 for p in ppl[1:]), ppl' \
    "$ASHLAR" perplexity "$model" --text "$TEST_TMP/readme" --tokens 300 --window 128 --json
ash perplexity "$model" --text "$TEST_TMP/readme" --kv f32
check "an unknown cache: usage" failed_with 2 "--kv f32 is not f16, fp8 or q8_0"
ash run "$model" -p "The capital of France is" -n 2 --temp 0 --cpu scalar
check "--cpu scalar: the same text" holds "$code $out" "0  Paris"
ash run "$model" -p x -n 1 --cpu nonsense
check "--cpu: an unknown level: exit 2" failed_with 2 "--cpu nonsense"
ash bench "$model" --pp 4 --tg 4 --batch 1,3 --repeat 1 --json
check "bench --batch: a row for each number of sessions" python3 -c '
import json, sys
rows = json.loads(sys.argv[1])["rows"]
assert [(r["kind"], r["batch"]) for r in rows] == [("prefill", 1), ("decode", 1), ("decode", 3)], rows
assert all(r["tok_s"] > 0 for r in rows)' "$out"
ash bench "$model" --batch 65
check "bench --batch: more sessions than there can be" failed_with 2 "--batch 65"
ash bench "$model" --pp 32 --tg 4 --repeat 1 --json
check "bench --json" python3 -c '
import json,sys; d=json.loads(sys.argv[1])
for k in ("load_to_first_logits_s","pp_tok_s","tg_tok_s","tg_gb_s","peak_rss_mib"): assert d[k]>0, k' "$out"
ash bench "$model" --pp 8 --tg 2 --batch 1,3 --repeat 1 --profile --json
check "bench --profile: each operation of a pass, in times that add up" python3 -c '
import json, re, sys
result = json.loads(sys.argv[1])
rows = result["rows"]
assert [result["pp_limits"], result["tg_limits"]] == [r["limits"] for r in rows[:2]]
def sums(row, what, name): return sum(o[what] for o in row["profile"]["operations"] if o["name"] == name)
one, three = rows[1:]
assert (one["batch"], three["batch"]) == (1, 3) and sums(three, "multiply_adds", "matrix") == 3 * sums(one, "multiply_adds", "matrix")
assert sums(three, "bytes", "matrix") == sums(one, "bytes", "matrix") and sums(three, "bytes", "sampling") == 3 * sums(one, "bytes", "sampling")
for row in rows:
    p = row["profile"]
    ops = p["operations"]
    names = {o["name"] for o in ops}
    assert {"embedding", "matrix", "attention", "rope, store", "swiglu", "residual", "waits", "between passes"} <= names, names
    assert ("sampling" in names) == (row["kind"] == "decode")
    assert {o["role"] for o in ops if o["name"] == "matrix"} >= {"o", "down", "output"}
    assert all(o["multiply_adds"] > 0 and o["share_of_limit"] > 0 and o["limit"] for o in ops if o["name"] == "matrix")
    assert abs(sum(o["seconds"] for o in ops) / p["seconds"] - 1) < 1e-6, p
    # A row counts what a byte of the inputs multiplies; three roles take two bytes in a model of this width.
    once = sum(o["multiply_adds"] / (2 if o["role"] in ("qkv", "down", "output") else 1) for o in ops if o["name"] == "matrix")
    assert abs(row["tmac_s"] / row["tok_s"] * 1e12 * row["tokens"] * row["batch"] / once - 1) < 1e-6, (row["tmac_s"], once)
    least = {}
    for o in ops: least[o["limit"]] = least.get(o["limit"], 0) + 100 * o["seconds"] * o["share_of_limit"] * row["tok_s"] / (row["tokens"] * row["batch"])
    whole, parts = re.fullmatch(r"(\d+)% \((.*)\)", row["limits"]).groups()
    assert abs(int(whole) - sum(least.values())) <= 0.501, (row["limits"], least)
    said = dict(part.split() for part in parts.split(", "))
    assert said and all(abs(int(v) - least[k]) <= 0.501 for k, v in said.items()), (row["limits"], least)' "$out"
# What a cache keeps of the weights it keeps of the read loop too, so bytes limit every model; 8-bit products name the
# steps that they take of the units, where those are counted.
limits='
import json, sys
r = json.loads(sys.argv[1])
limits = r["limits"]
assert r["weight_bytes"] <= limits["read_bytes"] < 1.1 * r["weight_bytes"] < 512 << 20 and limits["memory_gb_s"] > 0
vnni = "avx512_vnni" in open("/proc/cpuinfo").read()
for row in r["rows"]:
    for o in row["profile"]["operations"]:
        if o["name"] != "matrix": continue
        of_bytes = o["bytes"] / o["seconds"] / (1e9 * limits["read_gb_s"])
        assert o["share_of_limit"] >= 0.999 * of_bytes, o
        if o["type"].startswith("q"):
            least = o["slots"] / o["seconds"] / (1e12 * limits["int8_tmac_s"])
            assert abs(o["share_of_limit"] / max(of_bytes, least) - 1) < 1e-6, o
            assert (o["slots"] > o["multiply_adds"]) == vnni and o["limit"] in ("bytes", "slots" if vnni else "int8"), o'
check "bench: bytes are a limit, read in a loop over as many" python3 -c "$limits" "$out"
if [ -d "$SHARED/models/llama-30m" ]; then
    ash bench "$SHARED/models/llama-30m" --pp 8 --tg 2 --repeat 1 --profile --json
    check "bench: of a small model too" python3 -c "$limits" "$out"
else skip "bench: of a small model too" "llama-30m is not there"; fi
ash bench "$model" --pp 8 --tg 2 --batch 1,3 --repeat 1 --profile
check "bench --profile prints a table for each row" test "$(grep -cE "^(prefill|decode|decode x3) [0-9]+ at 0: .* ms a " <<<"$out")" = 3
# Rows of every size and depth; saved, and compared with itself and with one that was twice as fast.
ash bench "$model" --pp 8,16 --tg 2 --depth 0,8 --repeat 3 --save "$TEST_TMP/bench.json"
check "bench prints a row for each size and depth, with shares of the limits" python3 -c '
import re, sys
rows = [l for l in sys.argv[1].split("\n") if re.match(r"(prefill|decode) ", l)]
assert len(rows) == 6 and all("%)" in l for l in rows), rows
assert [[l.split()[1], l.split()[3]] for l in rows[:2]] == [["8", "0"], ["8", "8"]], rows' "$out"
check "bench --save keeps every run" python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
assert len(r["rows"]) == 6 and all(len(x["tok_s_all"]) == 3 and x["tok_s"] > 0 for x in r["rows"])
limits = r["limits"]
# A register holds four times as many bytes as floats, and no level takes more than twice as long for them.
assert limits["read_gb_s"] > 0 and limits["int8_tmac_s"] > limits["f32_tmac_s"] > 0, limits
# What a decoded token reads: weights, and K and V in F16 of 30 layers, 3 heads of 64, of what two tokens see on average.
for x in r["rows"][4:]: assert abs(1e9 * x["gb_s"] / x["tok_s"] - r["weight_bytes"] - (x["depth"] + 1.5) * 30 * 3 * 64 * 2 * 2) < 1, x
for x in r["rows"]: x["tok_s_all"] = [2 * v for v in sorted(x["tok_s_all"])[1:2] * 3]
json.dump(r, open(sys.argv[2], "w"))
for x in r["rows"]: x["tok_s_all"] = [0.5 * v for v in x["tok_s_all"]]
json.dump(r, open(sys.argv[3], "w"))' "$TEST_TMP/bench.json" "$TEST_TMP/fast.json" "$TEST_TMP/steady.json"
ash bench --diff "$TEST_TMP/steady.json" "$TEST_TMP/steady.json"
check "bench --diff: the same is no difference" test "$(grep -c "no difference" <<<"$out")" = 6
ash bench --diff "$TEST_TMP/steady.json" "$TEST_TMP/fast.json"
check "bench --diff: twice the rate is faster" test "$(grep -c "+100.0%.* faster" <<<"$out")" = 6
ash bench --diff "$TEST_TMP/fast.json" "$TEST_TMP/steady.json"
check "bench --diff: half of it is slower" test "$(grep -c -- "-50.0%.* slower" <<<"$out")" = 6
ash bench --diff "$TEST_TMP/fast.json" "$0"
check "bench --diff of another file: exit 1, one line" failed_with 1 "cli_smollm2.sh"
ash bench --diff "$TEST_TMP/fast.json"
check "bench --diff of one file: exit 2" failed_with 2 "two files"
for bad in 8, ,8 0 8,x -1 "8 9" 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17 4294967297; do
    ash bench "$model" --pp "$bad"
    check "bench --pp '$bad': exit 2" failed_with 2 "--pp"
done
ash bench "$model" --tokenizer --text "$TEST_TMP/readme" --repeat 1 --json
check "bench --tokenizer --json" python3 -c '
import json,sys; d=json.loads(sys.argv[1]); assert d["bytes"]==3000 and 300<d["tokens"]<3000
for k in ("encode_mb_s","encode_mtok_s","decode_mb_s","decode_mtok_s"): assert d[k]>0, k' "$out"
: >"$TEST_TMP/nothing"
ash bench "$model" --tokenizer --text "$TEST_TMP/nothing"
check "bench --tokenizer without a text: exit 1, one line" failed_with 1 "is empty"
ash bench "$model" --text "$TEST_TMP/readme"
check "bench --text without --tokenizer: exit 2" failed_with 2 "--tokenizer"

# A conversion that is interrupted leaves nothing behind.
rm -f "$TEST_TMP/partial.ashlar"
"$ASHLAR" convert "$SMOLLM2_GGUF" -o "$TEST_TMP/partial.ashlar" --type f32 2>"$TEST_TMP/.err" &
convert=$!
sleep 0.15
kill -INT $convert
wait $convert
code=$?
if [ "$code" = 0 ]; then skip "an interrupted conversion leaves nothing" "it was done before the signal came"
else check "an interrupted conversion leaves nothing (exit $code)" [ -z "$(ls -A "$TEST_TMP" | grep partial)" ]; fi
done_testing
