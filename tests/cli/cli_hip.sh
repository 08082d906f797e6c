#!/usr/bin/env bash
# The command on a card (the stand-in for HIP): what it says, what it does when the card, the library or memory is not there.
. "$(dirname "$0")/lib.inc"
standin="$PWD/$B/libamdhip64-standin.so"
model="$TEST_TMP/model.ashlar"
export ASHLAR_KFD_NODES="$TEST_TMP/kfd"
cards() { # a machine with these cards
    rm -rf "$ASHLAR_KFD_NODES"
    export ASHLAR_HIP_LIBRARY="$standin" ASHLAR_STANDIN_CARDS="$1"
}
run() { ash run "$model" -p "the old bridge" -n 4 --temp 0 --ids "$@"; }

if [ ! -d "$SHARED/models/llama-30m" ]; then skip "a model on a card" "SHARED has no llama-30m"; done_testing; exit 0; fi
ash convert "$SHARED/models/llama-30m" --type q8_0 -o "$model"

# ---- no library, another library, none that finds a card ----
export ASHLAR_HIP_LIBRARY="$TEST_TMP/absent.so"
run --device hip
check "a library that is not there: exit 1, one line" failed_with 1 "absent.so"
run
check "  without --device: the CPU, and why" [ "$code" = 0 ]
check "  said in one line" [ "$(printf '%s\n' "$err" | grep -c '^device cpu: .*absent.so')" = 1 ]
on_cpu=$out
export ASHLAR_HIP_LIBRARY=libzstd.so.1
run --device hip
check "a library of something else: exit 1, what it lacks" failed_with 1 "hipInit"
real=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | sed -n 's/.*\(libamdhip64\.so\.[0-9]*\) .*/\1/p' | head -1)
if [ -n "$real" ]; then
    export ASHLAR_HIP_LIBRARY="$real"
    run --device hip
    check "the real $real without a card: exit 1, one line" failed_with 1 "finds no card"
    run
    check "  without --device: the CPU, and why" holds "$err" "device cpu:" "finds no card"
    check "  and it works" [ "$code$out" = "0$on_cpu" ]
    ash devices
    check "  ashlar devices says so" holds "$out" "no card" "$real"
elif [ -n "${CI:-}" ]; then
    check "the real libamdhip64 is installed" false
else
    skip "the real libamdhip64" "it is not installed (Debian: libamdhip64-5)"
fi
unset ASHLAR_HIP_LIBRARY
if [ ! -e /dev/kfd ]; then
    run --device hip
    check "no driver: exit 1, one line" failed_with 1 "/dev/kfd"
fi
run --device hop
check "an unknown device: exit 1, the known ones named" failed_with 1 "auto, cpu, hip or hip:N"
run --device cpu
check "--device cpu says nothing of cards" [ "$(printf '%s\n' "$err" | grep -c '^device')" = 0 ]

if [ ! -e "$standin" ]; then
    if [ -n "${CI:-}" ]; then check "the stand-in for HIP is built" false; fi
    skip "a card" "the stand-in is not built: clang-19, lld-19 or llvm-19-dev is not installed"
    done_testing
    exit 0
fi

# ---- cards ----
cards ""
run --device hip
check "no card: exit 1, one line" failed_with 1 "finds no card"
cards "gfx1100:AMD Radeon RX 7900 XTX"
run --device hip
check "a card of another kind: exit 1, named" failed_with 1 "RX 7900 XTX" "gfx1100" "gfx1200 and gfx1201"
run
check "  without --device: the CPU, and why" holds "$err" "device cpu:" "gfx1100"
ash devices
check "  ashlar devices lists it" holds "$out" "hip:0" "RX 7900 XTX" "gfx1100" "not usable" "GB free of" "driver amdgpu" "HIP "
cards "gfx1100:AMD Radeon RX 7900 XTX,gfx1200:AMD Radeon RX 9060 XT,gfx1201:AMD Radeon RX 9070 XT"
ash devices --json
check "three cards as JSON" holds "$out" '"target":	"gfx1201"' '"usable":	true' '"index":	2'
run --device hip:7
check "a card that is not there: exit 1" failed_with 1 "there is no card 7" "3 found"
cards "gfx1201:AMD Radeon RX 9070 XT"
run
check "one of ours is taken by itself" holds "$err" "device hip:0, AMD Radeon RX 9070 XT (gfx1201), 7 of 7 layers"
check "  and writes" [ "$code" = 0 ]
on_card=$out
run --no-graph
check "  the same without graphs" [ "$code$out" = "0$on_card" ]
run --verify
check "  the same with checksums compared" [ "$code$out" = "0$on_card" ]
run --gpu-layers 3
check "  and with some of the layers" [ "$code" = 0 ]
check "    said so" holds "$err" "3 of 7 layers"
run --kv fp8
check "  and with an FP8 cache" [ "$code" = 0 ]
ash bench "$model" --device hip --pp 4 --tg 1 --repeat 1 --profile
check "bench --profile times the card's kernels" holds "$code$out" 0 "ash_" "GB/s"
run --gpu-layers 8
check "more layers than there are: exit 1" failed_with 1 "the model has 7"
run --kv q3
check "an unknown type of cache: exit 2" failed_with 2 "q3"

# ---- failures ----
export ASHLAR_STANDIN_FAIL="ModuleLoadData:1=209"
run --device hip
check "refused code: exit 1, one line" failed_with 1 "loading the" "hipError 209"
run
check "  without --device: the CPU, and why" holds "$err" "device cpu:" "hipError 209"
export ASHLAR_STANDIN_FAIL="Malloc:1"
run --device hip
check "no memory: exit 1, one line" failed_with 1 "memory for the weights" "hipError 2"
export ASHLAR_STANDIN_FAIL="ModuleLaunchKernel:9~719"
run --device hip --no-graph
check "a kernel that fails: exit 1, one line, with its place" died_with "a pass, layer 0, in one of ash_" "hipError 719"
unset ASHLAR_STANDIN_FAIL
export ASHLAR_STANDIN_REPORT="$TEST_TMP/report.json"
run --device hip
check "nothing is held at the end" holds "$(cat "$ASHLAR_STANDIN_REPORT")" '"errors"'
unset ASHLAR_STANDIN_REPORT
export ASHLAR_STANDIN_HANG="ModuleLaunchKernel:9" ASHLAR_HIP_TIMEOUT_MS=700
started=$SECONDS
run --device hip --no-graph
check "a kernel that hangs: exit 1, one line, named" died_with "no answer from the card" "layer" "ash_"
check "  at once" [ $((SECONDS - started)) -lt 20 ]
export ASHLAR_STANDIN_HANG="GraphLaunch:1" ASHLAR_HIP_TIMEOUT_MS=3000 # more than the passes before it take
run --device hip
check "a graph that hangs: exit 1, one line, the kernels between" died_with "a pass, layers 0 to 6, from ash_embed_q8_0 to ash_" "no answer"
line=$(printf '%s\n' "$err" | tail -1)
check "  of less than 200 characters" [ "${#line}" -lt 200 ]
export ASHLAR_STANDIN_HANG="MemcpyAsync:2" ASHLAR_HIP_TIMEOUT_MS=700
run --device hip
check "a copy that hangs: exit 1, one line" died_with "no answer from the card"
run
check "  also without --device: a card that hangs is no reason to go on" [ "$code" = 1 ]
unset ASHLAR_STANDIN_HANG ASHLAR_HIP_TIMEOUT_MS

# ---- a chat of three turns ----
printf 'The king said\nand then?\nWhy?\n' >"$TEST_TMP/turns"
chat() { out=$("$ASHLAR" chat "$model" --temp 0 -n 6 "$@" <"$TEST_TMP/turns" 2>"$TEST_TMP/chat.err"); code=$?; err=$(cat "$TEST_TMP/chat.err"); }
chat --device hip
check "three turns of a chat: exit 0" [ "$code" = 0 ]
first=$out
chat --device hip --no-graph
check "  the same without graphs" [ "$out" = "$first" ]
# A damaged byte of the weights.
cp "$model" "$TEST_TMP/damaged.ashlar"
printf '\x5a' | dd of="$TEST_TMP/damaged.ashlar" bs=1 seek=$(($(stat -c %s "$model") / 2)) conv=notrunc status=none
ash run "$TEST_TMP/damaged.ashlar" -p "the" -n 1 --device hip --verify
check "damaged weights with --verify: exit 1, one line" died_with "wrong checksum"
ash run "$TEST_TMP/damaged.ashlar" -p "the" -n 1 --device cpu --verify
check "  on the CPU too" died_with "damaged.ashlar"

# ---- doctor, with a model of the user's ----
doctor_left() { ls -d "${TMPDIR:-/tmp}"/ashlar-doctor-* 2>/dev/null | wc -l; }
export TMPDIR="$TEST_TMP"
ash doctor "$model" -o "$TEST_TMP/doctor.txt" --copy 1
report=$(cat "$TEST_TMP/doctor.txt")
check "doctor: all is well" holds "$code$report" "RX 9070 XT" "all is well" " 0 of "
check "  exit 0" [ "$code" = 0 ]
check "  every kernel runs" [ "$(grep -c 'not run' "$TEST_TMP/doctor.txt")" = 0 ]
check "  each in some time" [ "$(grep -c ' 0\.0$' "$TEST_TMP/doctor.txt")" = 0 ]
check "  the machine, the library and the card" holds "$report" "ashlar     " "processor  " "driver     " "library    $standin, HIP " "card       hip:0, AMD Radeon RX 9070 XT, gfx1201"
check "  the copies" holds "$report" "copies of 1 MiB: to the card "
check "  the model, all of it on the card" holds "$report" "$model on hip:0, AMD Radeon RX 9070 XT (gfx1201), 7 of 7 layers"
check "  and its decoding" [ "$(grep -cE '^  decode [0-9.]+ tok/s: [0-9]+ GB/s of weights, [0-9.]+% of 640 GB/s, [0-9.]+% of what copies move$' "$TEST_TMP/doctor.txt")" = 1 ]
check "  the same on the terminal" [ "$out" = "$report" ]
check "  nothing is left in the temporary folder" [ "$(doctor_left)" = 0 ]
head -c 5000 "$model" >"$TEST_TMP/short.ashlar"
for bad in absent short; do
    ash doctor "$TEST_TMP/$bad.ashlar" -o "$TEST_TMP/$bad.txt" --copy 1
    check "doctor with a file that is $bad: exit 1, one line, at once" failed_with 1 "$bad.ashlar"
    check "  no report" [ ! -e "$TEST_TMP/$bad.txt" ]
done
ash doctor "$model" "$model" -o "$TEST_TMP/two.txt"
check "doctor with two files: exit 2" failed_with 2 "one FILE at most"
# A card that has no room for the model, and fails a kernel of the self-test: both are told.
export ASHLAR_STANDIN_FAIL="ModuleLaunchKernel:1=1" ASHLAR_STANDIN_MEMORY=$(((256 + 20) << 20))
ash doctor "$model" -o "$TEST_TMP/room.txt" --copy 1
check "doctor without room for the model: exit 1, both failures" holds "$code$(cat "$TEST_TMP/room.txt")" 1 "the self-test failed: " "hipError 1" "$model failed: card 0, AMD Radeon RX 9070 XT, has" "this takes" "send this report"
check "  nothing is left in the temporary folder" [ "$(doctor_left)" = 0 ]
unset ASHLAR_STANDIN_FAIL ASHLAR_STANDIN_MEMORY
# A launch of the second pass that does nothing, and one of the second model that ends the examination.
export ASHLAR_STANDIN_FAIL="ModuleLaunchKernel:20~0,ModuleLaunchKernel:120=719"
ash doctor -o "$TEST_TMP/wrong.txt" --copy 1
check "doctor with a wrong kernel: exit 1, what is wrong" holds "$code$(cat "$TEST_TMP/wrong.txt")" 1 "6 of 9 passes wrong" "send this report"
check "  where it is right, right" [ "$(grep ' 37 tokens' "$TEST_TMP/wrong.txt" | grep -c WRONG)" = 0 ]
check "  and the kernels of wrong passes" [ "$(grep -cE 'ash_decode_k_8 +9 +9 ' "$TEST_TMP/wrong.txt")" = 1 ]
unset ASHLAR_STANDIN_FAIL
ash doctor -o "$TEST_TMP/doctor.txt"
check "  a report is not replaced: exit 1, one line" failed_with 1 "exists" "--force"
cards ""
ash doctor "$model" -o "$TEST_TMP/none.txt"
check "doctor without a card: exit 1, a report that says why" holds "$code$(cat "$TEST_TMP/none.txt")" 1 "finding a card failed: " "finds no card" "send this report"
export ASHLAR_HIP_LIBRARY="$TEST_TMP/absent.so"
ash doctor "$model" -o "$TEST_TMP/library.txt"
check "doctor without a library: the same" holds "$code$(cat "$TEST_TMP/library.txt")" 1 "processor  " "finding a card failed: ASHLAR_HIP_LIBRARY: $TEST_TMP/absent.so" "send this report"
unset TMPDIR
done_testing
