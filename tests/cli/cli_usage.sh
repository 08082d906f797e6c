#!/usr/bin/env bash
# Help, exit codes and one-line usage errors of every verb.
. "$(dirname "$0")/lib.inc"

ash --help
check "ashlar --help exits 0" [ "$code" = 0 ]
for verb in convert quantize inspect verify run chat tokenize perplexity imatrix compare bench export; do
    check "--help lists $verb" holds "$out" "  $verb "
done
ash --version
check "--version" holds "$out" "ashlar 0."
ash
check "no verb: exit 2" [ "$code" = 2 ]
ash nonsense
check "unknown verb: exit 2, named" failed_with 2 nonsense
for verb in convert quantize inspect verify run chat tokenize perplexity imatrix compare bench export; do
    ash $verb --help
    check "$verb --help prints usage to stdout, exit 0" holds "$code $out" "0 usage: ashlar $verb "
    ash $verb
    check "$verb without arguments: exit 2" failed_with 2 "argument is missing" "ashlar $verb"
    ash $verb a --no-such-option
    check "$verb with an unknown option: exit 2" failed_with 2 "--no-such-option" "ashlar $verb --help"
    ash $verb a b c d
    check "$verb with too many arguments: exit 2" failed_with 2 "too many"
done
ash convert x
check "convert without -o: exit 2" failed_with 2 "-o OUT.ashlar"
ash convert x -o y --type q9_9
check "convert with an unknown type: exit 2" failed_with 2 "q9_9"
ash run x
check "run without -p: exit 2" failed_with 2 "-p TEXT"
ash run x -p y -n ten
check "a number that is none: exit 2" failed_with 2 "-n" "ten"
ash run x -p y -n -3
check "a negative count: exit 2" failed_with 2 "-n" "-3"
ash run x -p y -n 99999999999999999999
check "a count that wraps: exit 2" failed_with 2 "-n"
ash run x -p y --temp nan
check "a temperature that is no number: exit 2" failed_with 2 "--temp"
ash run x -p y --top-p 1.5
check "top-p above 1: exit 2" failed_with 2 "--top-p" "1.5"
ash run x -p
check "an option without its value: exit 2" failed_with 2 "-p" "needs a value"
ash export x -o y
check "export without --to: exit 2" failed_with 2 "--to gguf"
ash export x --to onnx -o y
check "export to an unknown format: exit 2" failed_with 2 "onnx"
for verb in inspect verify chat tokenize bench; do
    ash $verb "$TEST_TMP/missing"
    check "$verb of a missing file: exit 1, named" failed_with 1 "$TEST_TMP/missing" "No such file"
done
ash convert "$TEST_TMP/missing" -o "$TEST_TMP/out.ashlar"
check "convert of a missing source: exit 1, named" failed_with 1 "$TEST_TMP/missing"
done_testing
