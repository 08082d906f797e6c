#!/usr/bin/env bash
# Damaged files: each is one line that names the file and the reason, exit 1, and no output is left behind.
. "$(dirname "$0")/lib.inc"
if [ ! -e "$SMOLLM2_GGUF" ]; then
    skip "damaged files" "SmolLM2's GGUF has not been fetched"
    done_testing
    exit 0
fi
good="$TEST_TMP/good.ashlar" bad="$TEST_TMP/bad" out_file="$TEST_TMP/out.ashlar"
ash convert "$SMOLLM2_GGUF" -o "$good"
size=$(stat -c %s "$good")
poke() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
nothing_left() { [ -z "$(ls -A "$TEST_TMP" | grep -E 'out\.ashlar')" ]; }

for cut in 0 1 100 4095 4096 5000 $((size / 2)) $((size - 1)); do
    head -c "$cut" "$good" >"$bad.ashlar"
    for verb in verify inspect "run -p x -n 1"; do
        set -- $verb
        v=$1; shift
        ash "$v" "$bad.ashlar" "$@"
        check "$v of a file cut to $cut bytes" failed_with 1 "$bad.ashlar"
    done
done
cp "$good" "$bad.ashlar"; poke "$bad.ashlar" 0 'X'
ash run "$bad.ashlar" -p x
check "wrong magic" failed_with 1 "$bad.ashlar"
cp "$good" "$bad.ashlar"; poke "$bad.ashlar" 8 '\011'
ash run "$bad.ashlar" -p x
check "a version from the future" failed_with 1 "$bad.ashlar" "version"
cp "$good" "$bad.ashlar"; poke "$bad.ashlar" $((size / 2)) '\377\000\377\000\252'
ash verify "$bad.ashlar"
check "damaged data: verify fails with a tensor's name" failed_with 1 "$bad.ashlar" "layers."

for cut in 0 3 8 23 24 1000 500000 1700000 1800000 50000000; do
    head -c "$cut" "$SMOLLM2_GGUF" >"$bad.gguf"
    ash convert "$bad.gguf" -o "$out_file"
    check "convert of a GGUF cut to $cut bytes" failed_with 1 "$bad.gguf"
    check "  and nothing is left" nothing_left
done
head -c 2000000 "$SMOLLM2_GGUF" >"$bad.gguf"; poke "$bad.gguf" 4 '\011'
ash convert "$bad.gguf" -o "$out_file"
check "a GGUF version from the future" failed_with 1 "$bad.gguf" "version"
printf 'hello world, this is no model\n' >"$bad.gguf"
ash convert "$bad.gguf" -o "$out_file"
check "a text file" failed_with 1 "$bad.gguf"
mkdir "$TEST_TMP/empty"
ash convert "$TEST_TMP/empty" -o "$out_file"
check "an empty folder" failed_with 1 "$TEST_TMP/empty"
ash convert "$SMOLLM2_GGUF" -o "$TEST_TMP/no/such/folder/out.ashlar"
check "an output folder that is not there" failed_with 1 "no/such/folder"
ash convert "$SMOLLM2_GGUF" -o "$out_file" --type i8
check "a type that holds no weights" failed_with 1 "i8"
check "nothing is left of any of them" nothing_left

if [ -d "$SHARED/models/llama-30m" ]; then
    hf() { rm -rf "$TEST_TMP/hf"; mkdir "$TEST_TMP/hf"; for f in "$SHARED"/models/llama-30m/*; do ln -s "$(realpath "$f")" "$TEST_TMP/hf/"; done; }
    edit() { # file, sed expression: replaces the link by an edited copy
        sed "$2" "$SHARED/models/llama-30m/$1" >"$TEST_TMP/edited"; rm "$TEST_TMP/hf/$1"; mv "$TEST_TMP/edited" "$TEST_TMP/hf/$1"
    }
    refused() { # description words...
        local what=$1; shift
        ash convert "$TEST_TMP/hf" -o "$out_file"
        check "$what" failed_with 1 "$@"
        check "  and nothing is left" nothing_left
    }
    hf; rm "$TEST_TMP/hf/model-00003-of-00005.safetensors"; refused "a missing shard" "model-00003-of-00005.safetensors"
    hf; edit model.safetensors.index.json 's/"model.norm.weight"/"model.norm.weigth"/'; refused "an index that names a tensor no shard has" "model.norm.weigth"
    hf; edit model.safetensors.index.json 's#"model-00005-of-00005.safetensors"#"../model-00005-of-00005.safetensors"#'; refused "an index that leaves its folder" "../model"
    hf; edit config.json 's/"hidden_size": 512/"hidden_size": 640/'; refused "a config that disagrees with shapes" "hidden_size" "512"
    hf; edit config.json 's/LlamaForCausalLM/OrcaForCausalLM/; s/"llama"/"orca"/'; refused "an unknown architecture" "OrcaForCausalLM" "LlamaForCausalLM"
    hf; edit config.json 's/"num_hidden_layers": 7/"num_hidden_layers": 8/'; refused "a layer too many in the config" "layers.7"
    hf; edit config.json 's/"rope_type": "default"/"rope_type": "spiral"/'; refused "an unknown rotation" "spiral"
    hf; rm "$TEST_TMP/hf/config.json"; refused "no config.json" "config.json"
    hf; rm "$TEST_TMP/hf/tokenizer.json"; refused "no tokenizer.json" "tokenizer"
    hf; edit tokenizer.json 's/"type": "BPE"/"type": "WordPiece"/'; refused "an unknown kind of tokenizer" "WordPiece"
else
    skip "damaged Hugging Face folders" "SHARED has no llama-30m"
fi
done_testing
