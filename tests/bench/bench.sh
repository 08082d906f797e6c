#!/usr/bin/env bash
# The benchmarks of the README, ashlar and llama.cpp side by side in one run.
#
# Environment: ASHLAR, MODELS, SHARED, SMOLLM2_GGUF; PEER_PYTHON: a Python that has llama-cpp-python (see
# SHARED/bench/peer_llama.py); without it only ashlar's figures are printed. PEER_PYTHON_AVX2: one whose llama.cpp was
# built without AVX-512, for the rows in which ashlar does without it too; left out where it is not given.
# LLAMA_1B: a BF16 GGUF of llama-1b's shape (SHARED/models/make_random_model.py gguf llama-1b ...); rows that need it are
# left out where it is not given. Both tools quantize it themselves, once.
# ROWS: which models, of smollm2 llama-30m 1b-q4_k 1b-q6_k 1b-q8_0 1b-float (default: all; 1b-float needs 8 GB of disk).
# ROUNDS: how often each pair is measured in turn (default 5); the median counts. LONG_ROUNDS: the same for rows of 4,096
# tokens (default 5; 0 leaves them out). In each round the peer takes the best of 3 and ashlar the median of 3, at 4,096
# tokens both one. THREADS: default 2. COMPLETE=1: measure nothing where what a row needs is not given.
#
# The last column: what this machine's limits (bytes in a loop that reads as many as a token's weights, again and again;
# multiply-adds in registers; both measured in the same call) allow of ashlar's time, as `bench --profile` adds them up, and
# which ones; of a token at 4,096 what they allow of attention's. Of a load its share of the bytes, page faults and all; of
# memory how it compares with the file.
set -eu
: "${ASHLAR:=build/ashlar}" "${MODELS:=build/models}" "${SHARED:=../shared}" "${ROUNDS:=5}" "${LONG_ROUNDS:=5}" "${THREADS:=2}"
: "${PEER_PYTHON:=}" "${PEER_PYTHON_AVX2:=}" "${LLAMA_1B:=}" "${ROWS:=smollm2 llama-30m 1b-q4_k 1b-q6_k 1b-q8_0 1b-float}"
missing=""
for name in PEER_PYTHON PEER_PYTHON_AVX2 LLAMA_1B SMOLLM2_GGUF; do [ -n "${!name:-}" ] || missing="$missing $name"; done
if [ -n "${COMPLETE:-}" ] && [ -n "$missing" ]; then echo "bench: rows are left out without:$missing; $0 says what each is" >&2; exit 1; fi
peer="$SHARED/bench/peer_llama.py" peer_long="$(dirname "$0")/peer_long.py"
mkdir -p "$MODELS"

median() { sort -g | awk '{v[NR]=$1} END {print NR % 2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }
field() { sed -n "s/^{[^[]*\"$1\": *\"\{0,1\}\([0-9a-z.e+-]*\).*/\1/p"; } # of a line's outermost object
# A file that has left memory comes back in large pages where the file system has them: as a model is found that was
# converted before the machine's last start. One that was just written may lie in small ones.
forget() { sync; dd if="$1" iflag=nocache count=0 status=none; }
converted() { # source name [options...]: the .ashlar of a source, made once, and read from the disk
    local source=$1 out="$MODELS/$2.ashlar"; shift 2
    [ -e "$out" ] || "$ASHLAR" convert "$source" -o "$out" "$@" >&2
    forget "$out"
    "$ASHLAR" bench "$out" --threads "$THREADS" --pp 1 --tg 1 --repeat 1 >/dev/null
    echo "$out"
}
peer_quantized() { # source name TYPE: the peer's own quantization, made once; nothing without a peer
    local out="$MODELS/$2.gguf"
    [ -n "$PEER_PYTHON" ] || return 0
    [ -e "$out" ] || { "$PEER_PYTHON" "$peer" quantize "$1" "$out.part" "$3" --pure >&2 && mv "$out.part" "$out"; }
    echo "$out"
}
wanted() { case " $ROWS " in *" $1 "*) ;; *) false ;; esac }

text() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }

line() { # model label ours theirs better(higher|lower) [of the limit]
    awk -v n="$1" -v l="$2" -v a="$3" -v b="$4" -v d="$5" -v limit="${6:-}" 'BEGIN {
        ratio = b == "" ? "" : sprintf("%.2f", d == "higher" ? a / b : b / a)
        printf "| %-22s | %-30s | %10.4g | %10s | %5s | %-12s |\n", n, l, a, b == "" ? "" : sprintf("%.4g", b), ratio, limit }'
}

# Milliseconds that a token of the last round takes above another: files of tok/s, deep and shallow.
more() { echo "$(tail -n 1 "$1") $(tail -n 1 "$2")" | awk '{ print 1000 / $1 - 1000 / $2 }'; }

# Measures `rounds` times both in turn into $work: a.KEY and b.KEY have a line a round.
measure() { # rounds python script .ashlar GGUF pp tg depth [ashlar's options]
    local rounds=$1 python=$2 script=$3 ours=$4 theirs=$5 pp=$6 tg=$7 depth=$8 out key; shift 8
    for _ in $(seq "$rounds"); do
        out=$("$ASHLAR" bench "$ours" --threads "$THREADS" --pp "$pp" --tg "$tg" --profile --json "$@")
        for key in load_to_first_logits_s pp_tok_s tg_tok_s weight_bytes peak_rss_mib; do echo "$out" | field $key >>"$work/a.$key"; done
        echo "$out" | sed -n 's/.*"memory_gb_s": *\([0-9.e+-]*\).*/\1/p' >>"$work/a.memory_gb_s"
        for key in pp_limits tg_limits; do echo "$out" | text $key >>"$work/a.$key"; done
        if [ "$depth" != 0 ]; then
            out=$("$ASHLAR" bench "$ours" --threads "$THREADS" --pp 1 --tg "$tg" --depth "$depth" --profile --json "$@")
            echo "$out" | field tg_tok_s >>"$work/a.deep"
            more "$work/a.deep" "$work/a.tg_tok_s" >>"$work/a.more"
            echo "$out" | text tg_limits >>"$work/a.deep_limits"
            echo "$out" | tr '{' '\n' | grep '"name":"attention"' | tail -1 |
                sed 's/.*"share_of_limit": *\([0-9.e+-]*\),"limit": *"\([a-z0-9]*\)".*/\1 \2/' |
                awk '{ printf "%.0f%% (%s)\n", 100 * $1, $2 }' >>"$work/a.attention"
        fi
        if [ -n "$python" ] && [ -n "$theirs" ]; then
            out=$("$python" $script speed "$theirs" --threads "$THREADS" --pp "$pp" --tg "$tg" --depth "$depth")
            for key in load_to_first_logits_s pp_tok_s tg_tok_s peak_rss_mib; do echo "$out" | field $key >>"$work/b.$key"; done
            if [ "$depth" != 0 ]; then
                "$python" $script speed "$theirs" --threads "$THREADS" --pp 1 --tg "$tg" --depth 0 | field tg_tok_s >>"$work/b.shallow"
                more "$work/b.tg_tok_s" "$work/b.shallow" >>"$work/b.more"
            fi
        fi
    done
}
of() { [ ! -e "$work/$1" ] || median <"$work/$1"; }
# The text of the round whose share is the median (the higher one of two): it begins with that number.
limits() { sort -g "$work/$1" | sed -n "$(($(wc -l <"$work/$1") / 2 + 1))p"; }

# name .ashlar GGUF pp tg
compare() {
    work=$(mktemp -d)
    measure "$ROUNDS" "$PEER_PYTHON" "$peer" "$2" "$3" "$4" "$5" 0
    line "$1" "prefill $4, tok/s" "$(of a.pp_tok_s)" "$(of b.pp_tok_s)" higher "$(limits a.pp_limits)"
    line "$1" "decode $5, tok/s" "$(of a.tg_tok_s)" "$(of b.tg_tok_s)" higher "$(limits a.tg_limits)"
    # A first token reads the weights that a later one does.
    line "$1" "load to first logits, s" "$(of a.load_to_first_logits_s)" "$(of b.load_to_first_logits_s)" lower \
         "$(awk -v b="$(of a.weight_bytes)" -v limit="$(of a.memory_gb_s)" -v t="$(of a.load_to_first_logits_s)" \
             'BEGIN { printf "%.0f%% (bytes)", 1e-7 * b / limit / t }')"
    line "$1" "resident at most, MiB" "$(of a.peak_rss_mib)" "$(of b.peak_rss_mib)" lower \
         "$(awk -v r="$(of a.peak_rss_mib)" -v f="$(stat -c %s "$2")" 'BEGIN { printf "%.0f%% of the file", 100 * r * 1048576 / f }')"
    rm -rf "$work"
    [ "$LONG_ROUNDS" = 0 ] || long "$1" "$2" "$3" "$5"
}

# 4,096 tokens: their prompt, and decoding after them, with what a token costs there above one at the start in the same
# round: memory may be faster in another.
long() { # name .ashlar GGUF tg
    work=$(mktemp -d)
    measure "$LONG_ROUNDS" "$PEER_PYTHON" "$peer_long $peer" "$2" "$3" 4096 "$4" 4096 --repeat 1
    line "$1" "prefill 4096, tok/s" "$(of a.pp_tok_s)" "$(of b.pp_tok_s)" higher "$(limits a.pp_limits)"
    line "$1" "decode $4 at 4096, tok/s" "$(of a.deep)" "$(of b.tg_tok_s)" higher "$(limits a.deep_limits)"
    line "$1" "a token at 4096, ms more" "$(of a.more)" "$(of b.more)" lower "$(limits a.attention)"
    rm -rf "$work"
}

without_avx512() { # name .ashlar GGUF pp tg
    [ -n "$PEER_PYTHON_AVX2" ] || return 0
    work=$(mktemp -d)
    measure "$ROUNDS" "$PEER_PYTHON_AVX2" "$peer" "$2" "$3" "$4" "$5" 0 --cpu avx2
    line "$1, AVX2" "prefill $4, tok/s" "$(of a.pp_tok_s)" "$(of b.pp_tok_s)" higher "$(limits a.pp_limits)"
    line "$1, AVX2" "decode $5, tok/s" "$(of a.tg_tok_s)" "$(of b.tg_tok_s)" higher "$(limits a.tg_limits)"
    rm -rf "$work"
}

# Sessions that decode together, how many times one session's tokens that is, and their share of the limit.
together() { # name .ashlar tg
    work=$(mktemp -d)
    local out n row
    for _ in $(seq "$ROUNDS"); do
        out=$("$ASHLAR" bench "$2" --threads "$THREADS" --pp 1 --tg "$3" --batch 1,4,8 --profile --json | tr '{' '\n')
        for n in 1 4 8; do
            row=$(echo "$out" | grep "\"decode\".*\"batch\":$n,")
            echo "$row" | text limits >>"$work/limits.$n"
            echo "$row" | sed -n 's/.*"tok_s":\([0-9.e+-]*\).*/\1/p' >>"$work/tok_s.$n"
        done
    done
    for n in 4 8; do
        line "$1" "decode $3 in $n sessions, tok/s" "$(of tok_s.$n)" "" higher \
            "$(awk -v a="$(of tok_s.$n)" -v b="$(of tok_s.1)" -v l="$(limits "limits.$n")" 'BEGIN { printf "%.2f x one, %s", a / b, l }')"
    done
    rm -rf "$work"
}

# The whole process of `ashlar run FILE -p hello -n 1`: start, tokenizer, two prompt tokens computed, one token, exit.
first_token() { # name .ashlar
    local tmp; tmp=$(mktemp)
    for _ in $(seq 5); do
        { TIMEFORMAT=%R; time "$ASHLAR" run "$2" -p hello -n 1 --temp 0 --threads "$THREADS" >/dev/null 2>&1; } 2>>"$tmp"
    done
    line "$1" "process to first token, s" "$(median <"$tmp")" "" lower
    rm -f "$tmp"
}

# From a file that has left memory: load to first logits, and what dd takes to read the file, before and after.
cold() { # name .ashlar
    local tmp first last; tmp=$(mktemp)
    forget "$2"; first=$({ TIMEFORMAT=%R; time dd if="$2" of=/dev/null bs=4M status=none; } 2>&1)
    for _ in $(seq 5); do
        forget "$2"
        "$ASHLAR" bench "$2" --threads "$THREADS" --pp 1 --tg 1 --repeat 1 --json | field load_to_first_logits_s >>"$tmp"
    done
    forget "$2"; last=$({ TIMEFORMAT=%R; time dd if="$2" of=/dev/null bs=4M status=none; } 2>&1)
    line "$1" "cold to first logits, s" "$(median <"$tmp")" "" lower "dd: $first, $last s"
    rm -f "$tmp"
}

# The same model in both: an .ashlar and the GGUF that it exports to. Token ids of a long text and greedy ids of a few
# prompts, how many are the same in the same place.
ids() { sed -n 's/.*"ids": *\[\([0-9, ]*\)\].*/\1/p' | tr -d ' ' | tr ',' '\n'; }
same() { # label ours theirs
    paste "$2" "$3" | awk -v l="$1" -F'\t' '{ n++; e += $1 == $2 } END {
        printf "| %-22s | %-30s | %10s | %10d | %5s | %-12s |\n", "llama-30m, exported", l, e, n, n == e ? "same" : "", "" }'
}
agree() { # .ashlar GGUF
    local tmp prompt; tmp=$(mktemp -d)
    "$ASHLAR" tokenize "$1" --text "$SHARED/models/eval.txt" --json | ids >"$tmp/a"
    "$PEER_PYTHON" "$peer" tokens "$2" --text "$SHARED/models/eval.txt" | ids >"$tmp/b"
    same "ids of eval.txt the same" "$tmp/a" "$tmp/b"
    for prompt in "The Linux kernel" "The history of" "A man who" "Once upon a time" "In the year 1492" "Water is"; do
        "$ASHLAR" run "$1" -p "$prompt" -n 48 --temp 0 --act float --json | ids >>"$tmp/c"
        "$PEER_PYTHON" "$peer" greedy "$2" --prompt "$prompt" --n 48 | ids >>"$tmp/d"
    done
    same "greedy ids the same" "$tmp/c" "$tmp/d"
    rm -rf "$tmp"
}

echo "$(nproc) processors, $THREADS threads, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1); median of $ROUNDS rounds; a ratio above 1 is in favour of ashlar."
echo
echo "| model                  | measure                        |     ashlar |  llama.cpp | ratio | of the limit |"
echo "|------------------------|--------------------------------|-----------:|-----------:|------:|--------------|"
if wanted smollm2; then
    model=$(converted "$SMOLLM2_GGUF" smollm2-q4_1)
    compare "SmolLM2-135M Q4_1" "$model" "$SMOLLM2_GGUF" 512 64
    together "SmolLM2-135M Q4_1" "$model" 64
    without_avx512 "SmolLM2-135M Q4_1" "$model" "$SMOLLM2_GGUF" 512 64
fi
if wanted llama-30m && [ -d "$SHARED/models/llama-30m" ]; then
    model=$(converted "$SHARED/models/llama-30m" llama-30m-bf16) gguf="$MODELS/llama-30m.bf16.gguf"
    "$ASHLAR" export "$model" --to gguf -o "$gguf" --force 2>/dev/null
    LONG_ROUNDS=0 compare "llama-30m BF16" "$model" "$gguf" 512 64
    LONG_ROUNDS=0 compare "llama-30m FP8, peer F16" "$(converted "$SHARED/models/llama-30m" llama-30m-fp8 --type fp8)" \
        "$(peer_quantized "$gguf" llama-30m.f16 F16)" 512 64
    [ -z "$PEER_PYTHON" ] || agree "$model" "$gguf"
fi
[ -n "$LLAMA_1B" ] || exit 0
for type in q4_k q6_k q8_0; do
    wanted "1b-$type" || continue
    upper=$(echo $type | tr a-z A-Z) peer_type=$upper
    [ $type != q4_k ] || peer_type=Q4_K_S # --pure makes it Q4_K throughout
    model=$(converted "$LLAMA_1B" "llama-1b-$type" --type $type)
    gguf=$(peer_quantized "$LLAMA_1B" "llama-1b.$type" $peer_type)
    compare "llama-1b $upper" "$model" "$gguf" 512 16
    [ $type != q4_k ] || together "llama-1b $upper" "$model" 16
    without_avx512 "llama-1b $upper" "$model" "$gguf" 512 16
    [ $type != q4_k ] || cold "llama-1b $upper" "$model"
    first_token "llama-1b $upper" "$model"
done
if wanted 1b-float; then
    LONG_ROUNDS=0 compare "llama-1b BF16" "$(converted "$LLAMA_1B" llama-1b-bf16)" "$LLAMA_1B" 512 16
    LONG_ROUNDS=0 compare "llama-1b FP8, peer F16" "$(converted "$LLAMA_1B" llama-1b-fp8 --type fp8)" \
        "$(peer_quantized "$LLAMA_1B" llama-1b.f16 F16)" 512 16
fi
