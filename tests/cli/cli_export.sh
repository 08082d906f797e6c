#!/usr/bin/env bash
# export --to safetensors as a user meets it: the folder, what is said, what is refused, interruption.
. "$(dirname "$0")/lib.inc"
model="$SHARED/models/llama-30m" out_dir="$TEST_TMP/llama-30m"
entries() { ls -A "$1" | tr '\n' ' '; }

ash export x --to safetensors
check "without -o: exit 2" failed_with 2 "-o OUT"
ash export x --to onnx -o y
check "an unknown format: exit 2, the known ones named" failed_with 2 "onnx" "gguf and safetensors"
if [ -d "$model" ]; then
    ash export "$model" --to safetensors -o "$out_dir"
    check "export a Hugging Face folder" [ "$code$out" = 0 ]
    check "  its files and no others" \
        [ "$(entries "$out_dir")" = "config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json " ]
    check "  nothing lost, nothing to tell" [ "$(printf '%s\n' "$err" | grep -cvE '^(converting|wrote) ')" = 0 ]
    ash export "$model" --to safetensors -o "$out_dir"
    check "a second time: exit 1, one line" failed_with 1 "already exists" "--force"
    ash export "$model" --to safetensors -o "$out_dir/" --force
    check "  with --force" [ "$code" = 0 ]
    # Of the same name, so that the name in the GGUF is the same.
    ash export "$model" --to gguf -o "$TEST_TMP/a.gguf"
    ash export "$out_dir" --to gguf -o "$TEST_TMP/b.gguf"
    check "the folder gives the same GGUF as its source" cmp -s "$TEST_TMP/a.gguf" "$TEST_TMP/b.gguf"
    ash export "$out_dir" --to safetensors -o "$out_dir" --force
    check "a folder to itself: exit 1, one line" failed_with 1 "is the source itself"
    ash export "$out_dir/model.safetensors" --to safetensors -o "$out_dir/." --force
    check "  nor from a file in it" failed_with 1 "is the source itself"
    touch "$out_dir/README.md"
    ash export "$model" --to safetensors -o "$out_dir" --force
    check "a folder with a file of another kind: exit 1, named" failed_with 1 "README.md"
    check "  and it is as it was" [ "$(ls "$out_dir" | wc -l)" = 6 ]
    ash convert "$model" --type fp8 -o "$TEST_TMP/fp8.ashlar"
    ash export "$TEST_TMP/fp8.ashlar" --to safetensors -o "$TEST_TMP/fp8"
    check "export an FP8 model" [ "$code" = 0 ]
    check "  as a compressed-tensors checkpoint" grep -q '"quant_method":.*"compressed-tensors"' "$TEST_TMP/fp8/config.json"
    ash inspect "$TEST_TMP/fp8" --json
    check "  half the size of the matrices" holds "$out" '"f8_e4m3"'
else
    skip "exporting llama-30m" "SHARED has no llama-30m"
fi

if [ -z "$SMOLLM2_GGUF" ] || [ ! -f "$SMOLLM2_GGUF" ]; then skip "exporting SmolLM2" "SMOLLM2_GGUF names no file"; done_testing; exit 0; fi
ash export "$SMOLLM2_GGUF" --to safetensors -o "$TEST_TMP/smol"
check "export a quantized GGUF" [ "$code" = 0 ]
check "  says once that it is rounded" [ "$(printf '%s\n' "$err" | grep -c 'become bf16')" = 1 ]
head -c 20000 README.md >"$TEST_TMP/text"
ash tokenize "$SMOLLM2_GGUF" --text "$TEST_TMP/text"
ids=$out
ash tokenize "$TEST_TMP/smol" --text "$TEST_TMP/text"
check "  its tokenizer gives the same ids" [ "$code $ids" = "0 $out" ]
ash convert "$SMOLLM2_GGUF" --type fp8 -o "$TEST_TMP/smol8.ashlar"
ash export "$TEST_TMP/smol8.ashlar" --to gguf -o "$TEST_TMP/smol8.gguf"
check "what came from a GGUF and became FP8 exports to a GGUF" holds "$code $err" "210 FP8 matrices become bf16"
ash export "$TEST_TMP/smol8.ashlar" --to safetensors -o "$TEST_TMP/smol8"
check "  and to a checkpoint" [ "$code" = 0 ]
for signals in 1 2; do
    mkdir -p "$TEST_TMP/stop"
    "$ASHLAR" export "$SMOLLM2_GGUF" --to safetensors -o "$TEST_TMP/stop/out" 2>"$TEST_TMP/.err" &
    job=$!
    sleep 0.15
    kill -INT $job
    [ $signals = 2 ] && kill -TERM $job 2>/dev/null
    wait $job
    code=$?
    if [ "$code" = 0 ]; then skip "an export interrupted by $signals signals" "it was done before the signal came"
    else check "interrupted by $signals signals it leaves nothing (exit $code)" [ -z "$(ls -A "$TEST_TMP/stop")" ]; fi
    rm -rf "$TEST_TMP/stop"
done
done_testing
