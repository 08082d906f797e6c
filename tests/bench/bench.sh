#!/usr/bin/env bash
# The benchmarks of the README, ashlar and llama.cpp side by side in one run.
#
# Environment: ASHLAR, MODELS, SHARED, SMOLLM2_GGUF; PEER_PYTHON: a Python that has llama-cpp-python (see
# SHARED/bench/peer_llama.py); without it only ashlar's figures are printed. LLAMA_1B: a GGUF of llama-1b's shape
# (SHARED/models/make_random_model.py gguf llama-1b ...); rows that need it are left out where it is not given.
# ROUNDS: how often each pair is measured in turn (default 3); the median counts. THREADS: default 2.
set -eu
: "${ASHLAR:=build/ashlar}" "${MODELS:=build/models}" "${SHARED:=../shared}" "${ROUNDS:=3}" "${THREADS:=2}" "${PEER_PYTHON:=}" "${LLAMA_1B:=}"
peer="$SHARED/bench/peer_llama.py"
mkdir -p "$MODELS"

median() { sort -g | awk '{v[NR]=$1} END {print NR % 2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }
field() { sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p"; }
converted() { # source name [options...]: the .ashlar of a source, made once
    local source=$1 out="$MODELS/$2.ashlar"; shift 2
    [ -e "$out" ] || "$ASHLAR" convert "$source" -o "$out" "$@" >&2
    echo "$out"
}

# name, .ashlar, GGUF for the peer, pp, tg
compare() {
    local name=$1 ours=$2 theirs=$3 pp=$4 tg=$5 line
    local tmp; tmp=$(mktemp -d)
    for _ in $(seq "$ROUNDS"); do
        line=$("$ASHLAR" bench "$ours" --threads "$THREADS" --pp "$pp" --tg "$tg" --json)
        for key in load_to_first_logits_s pp_tok_s tg_tok_s tg_gb_s peak_rss_mib; do echo "$line" | field $key >>"$tmp/a.$key"; done
        if [ -n "$PEER_PYTHON" ] && [ -n "$theirs" ]; then
            line=$("$PEER_PYTHON" "$peer" speed "$theirs" --threads "$THREADS" --pp "$pp" --tg "$tg")
            for key in load_to_first_logits_s pp_tok_s tg_tok_s peak_rss_mib; do echo "$line" | field $key >>"$tmp/b.$key"; done
        fi
    done
    row() { # label key better(higher|lower)
        local a b=
        a=$(median <"$tmp/a.$2")
        [ -e "$tmp/b.$2" ] && b=$(median <"$tmp/b.$2")
        awk -v n="$name" -v l="$1" -v a="$a" -v b="$b" -v d="$3" 'BEGIN {
            r = (b == "") ? "" : sprintf("%.2f", d == "higher" ? a / b : b / a)
            printf "| %-22s | %-28s | %10.4g | %10s | %5s |\n", n, l, a, b == "" ? "" : sprintf("%.4g", b), r }'
    }
    row "prefill $pp, tok/s" pp_tok_s higher
    row "decode $tg, tok/s" tg_tok_s higher
    row "load to first logits, s" load_to_first_logits_s lower
    row "resident at most, MiB" peak_rss_mib lower
    rm -rf "$tmp"
}

# The whole process of `ashlar run FILE -p hello -n 1`: start, tokenizer, two prompt tokens computed, one token, exit.
first_token() { # name .ashlar
    local tmp; tmp=$(mktemp)
    for _ in $(seq 5); do
        { TIMEFORMAT=%R; time "$ASHLAR" run "$2" -p hello -n 1 --temp 0 --threads "$THREADS" >/dev/null 2>&1; } 2>>"$tmp"
    done
    printf '| %-22s | %-28s | %10.4g | %10s | %5s |\n' "$1" "process to first token, s" "$(median <"$tmp")" "" ""
    rm -f "$tmp"
}

# The same model in both: an .ashlar and the GGUF that it exports to. Token ids of a long text and greedy ids of a few
# prompts, how many are the same in the same place.
ids() { sed -n 's/.*"ids": *\[\([0-9, ]*\)\].*/\1/p' | tr -d ' ' | tr ',' '\n'; }
same() { # label ours theirs
    paste "$2" "$3" | awk -v l="$1" -F'\t' '{ n++; e += $1 == $2 } END {
        printf "| %-22s | %-28s | %10s | %10d | %5s |\n", "llama-30m, exported", l, e, n, n == e ? "same" : "" }'
}
agree() { # .ashlar GGUF
    local tmp prompt; tmp=$(mktemp -d)
    "$ASHLAR" tokenize "$1" --text "$SHARED/models/eval.txt" --json | ids >"$tmp/a"
    "$PEER_PYTHON" "$peer" tokens "$2" --text "$SHARED/models/eval.txt" | ids >"$tmp/b"
    same "ids of eval.txt the same" "$tmp/a" "$tmp/b"
    for prompt in "The Linux kernel" "The history of" "A man who" "Once upon a time" "In the year 1492" "Water is"; do
        "$ASHLAR" run "$1" -p "$prompt" -n 48 --temp 0 --json | ids >>"$tmp/c"
        "$PEER_PYTHON" "$peer" greedy "$2" --prompt "$prompt" --n 48 | ids >>"$tmp/d"
    done
    same "greedy ids the same" "$tmp/c" "$tmp/d"
    rm -rf "$tmp"
}

echo "$(nproc) processors, $THREADS threads, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1); median of $ROUNDS rounds"
echo "| model                  | measure                      |     ashlar |  llama.cpp | ratio |"
echo "|------------------------|------------------------------|-----------:|-----------:|------:|"
compare "SmolLM2-135M Q4_1" "$(converted "$SMOLLM2_GGUF" smollm2-q4_1)" "$SMOLLM2_GGUF" 512 64
if [ -d "$SHARED/models/llama-30m" ]; then
    model=$(converted "$SHARED/models/llama-30m" llama-30m-bf16) gguf="$MODELS/llama-30m.bf16.gguf"
    "$ASHLAR" export "$model" --to gguf -o "$gguf" --force 2>/dev/null
    compare "llama-30m BF16" "$model" "$gguf" 512 64
    [ -z "$PEER_PYTHON" ] || agree "$model" "$gguf"
fi
if [ -n "$LLAMA_1B" ]; then
    model=$(converted "$LLAMA_1B" llama-1b-q8_0 --type q8_0)
    peer_gguf=""
    if [ -n "$PEER_PYTHON" ]; then
        peer_gguf="$MODELS/llama-1b.q8_0.gguf"
        [ -e "$peer_gguf" ] || "$PEER_PYTHON" "$peer" quantize "$LLAMA_1B" "$peer_gguf" Q8_0 --pure >&2
    fi
    compare "llama-1b Q8_0" "$model" "$peer_gguf" 128 16
    first_token "llama-1b Q8_0" "$model"
fi
