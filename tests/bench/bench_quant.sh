#!/usr/bin/env bash
# Quantization side by side with llama.cpp in one run: the same source, types and threads, in turn.
#
# Environment: ASHLAR, MODELS, SHARED; PEER_PYTHON: a Python that has gguf and llama-cpp-python (default python3; see
# SHARED/bench/peer_llama.py); without llama-cpp-python only ashlar's figures are printed. LLAMA_1B: a BF16 GGUF of
# llama-1b's shape, made with SHARED/models/make_random_model.py where it is not given (3 GB). ROUNDS (default 3): how
# often each pair is measured; the median counts; 0: perplexities alone. THREADS: default 2. Before each, the source is
# read into the page cache and what earlier ones wrote goes to disk.
#
# Times are the process' own, from reading to the renamed file; ashlar's include syncing it, the peer's do not.
# FP8, which the peer lacks, is measured against its Q8_0.
set -eu
: "${ASHLAR:=build/ashlar}" "${MODELS:=build/models}" "${SHARED:=../shared}" "${ROUNDS:=3}" "${THREADS:=2}" "${PEER_PYTHON:=python3}" "${LLAMA_1B:=}"
peer="$SHARED/bench/peer_llama.py"
if [ ! -e "$peer" ]; then echo "bench-quant: $peer is absent; set SHARED" >&2; exit 1; fi
mkdir -p "$MODELS"
if [ "$ROUNDS" != 0 ] && [ -z "$LLAMA_1B" ]; then
    LLAMA_1B="$MODELS/llama-1b.bf16.gguf"
    [ -e "$LLAMA_1B" ] || { "$PEER_PYTHON" "$SHARED/models/make_random_model.py" gguf llama-1b "$SHARED/vocab/ggml-vocab-llama-bpe.gguf" "$LLAMA_1B.part" >&2 &&
        mv "$LLAMA_1B.part" "$LLAMA_1B"; }
fi
with_peer=yes; "$PEER_PYTHON" -c 'import llama_cpp' 2>/dev/null || with_peer=
work=$(mktemp -d "$MODELS/quant.XXXXXX"); trap 'rm -rf "$work"' EXIT
median() { sort -g "$1" | awk '{v[NR]=$1} END {print NR % 2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }

ready() { # the file to be written
    rm -f "$1"; sync; cat "$LLAMA_1B" >/dev/null
}

# Seconds and peak resident memory in MiB.
ours() { # type
    ready "$work/out.ashlar"
    "$PEER_PYTHON" - "$ASHLAR" convert "$LLAMA_1B" -o "$work/out.ashlar" --type "$1" --threads "$THREADS" <<'PY'
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
print("%.3f %d" % (time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024))
PY
}
theirs() { # type
    ready "$work/out.gguf"
    "$PEER_PYTHON" "$peer" quantize "$LLAMA_1B" "$work/out.gguf" "$1" --pure --threads "$THREADS" |
        sed -n 's/.*"seconds": *\([0-9.]*\).*"peak_rss_mib": *\([0-9]*\).*/\1 \2/p'
}

speed() {
    echo "$(nproc) processors, $THREADS threads, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1); load $(cut -d' ' -f1 /proc/loadavg); median of $ROUNDS rounds"
    echo "| llama-1b BF16 to |  ashlar, s | llama.cpp, s | ratio | ashlar, MiB | llama.cpp, MiB |"
    echo "|------------------|-----------:|-------------:|------:|------------:|---------------:|"
    for pair in q4_k:Q4_K_S q8_0:Q8_0 fp8:Q8_0 f8_e4m3:Q8_0; do
        a=${pair%:*} b=${pair#*:}
        for round in $(seq "$ROUNDS"); do
            line=$(ours "$a"); echo "${line% *}" >>"$work/$a.s"; echo "${line#* }" >>"$work/$a.m"
            if [ -n "$with_peer" ] && { [ "$a" != fp8 ] && [ "$a" != f8_e4m3 ]; }; then
                line=$(theirs "$b"); echo "${line% *}" >>"$work/peer.$b.s"; echo "${line#* }" >>"$work/peer.$b.m"
            fi
        done
        x=$(median "$work/$a.s") m=$(median "$work/$a.m") y="" n=""
        [ -z "$with_peer" ] || { y=$(median "$work/peer.$b.s"); n=$(median "$work/peer.$b.m"); }
        awk -v t="$a" -v x="$x" -v y="$y" -v m="$m" -v n="$n" 'BEGIN { printf "| %-16s | %10.2f | %12s | %5s | %11d | %14s |\n",
            t, x, y == "" ? "" : sprintf("%.2f", y), y == "" ? "" : sprintf("%.1f", y / x), m, n }'
    done
}
[ "$ROUNDS" = 0 ] || speed

# One file, two runtimes: what is exported means the same to the peer. 32,768 ids in windows of 1,024, BOS in front.
model="$SHARED/models/llama-30m" text="$SHARED/models/eval.txt" most=0.2
if [ ! -d "$model" ] || [ -z "$with_peer" ]; then exit 0; fi
number() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p"; }
wrong=0
echo
echo "| exported from llama-30m | ashlar, perplexity | llama.cpp, perplexity | difference |"
echo "|-------------------------|-------------------:|----------------------:|-----------:|"
for type in q4_k q4_k_m; do
    "$ASHLAR" convert "$model" -o "$work/$type.ashlar" --type "$type" 2>/dev/null
    "$ASHLAR" export "$work/$type.ashlar" --to gguf -o "$work/$type.gguf" 2>/dev/null
    x=$("$ASHLAR" perplexity "$work/$type.ashlar" --text "$text" --tokens 32768 --threads "$THREADS" --json | number ppl)
    y=$("$PEER_PYTHON" "$peer" ppl "$work/$type.gguf" --text "$text" --tokens 32768 --threads "$THREADS" | number ppl)
    awk -v t="$type" -v x="$x" -v y="$y" -v most="$most" 'BEGIN { d = 100 * (x / y - 1)
        printf "| %-23s | %18.4f | %21.4f | %+9.3f%% |\n", t, x, y, d; exit !(d <= most && d >= -most) }' || wrong=1
done
[ "$wrong" = 0 ] || { echo "bench-quant: perplexities differ by more than $most%" >&2; exit 1; }
