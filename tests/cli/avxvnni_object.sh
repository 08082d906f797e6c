#!/usr/bin/env bash
# The products of AVX-VNNI run on machines without AVX-512: their object has vpdpbusd in its VEX form and nothing that only
# AVX-512 has, neither an EVEX prefix (62 begins nothing else in 64-bit code) nor its registers.
# Their arithmetic is test_kernels_evex's to test, and test_kernels' on a machine that has AVX-VNNI.
. "$(dirname "$0")/lib.inc"
object="$B/obj/kernels/x86/matmul_q8_avxvnni.o"
if [ ! -e "$object" ] || ! command -v objdump >/dev/null; then
    skip "the object of AVX-VNNI" "no object for x86-64, or no objdump"
    done_testing
    exit 0
fi
code_of=$(objdump -d "$object")
lines() { grep -cE "$1" <<<"$code_of"; }
vex=$(lines '\{vex\} vpdpbusd .*%ymm')
echo "# measure vpdpbusd in its VEX form: $vex"
check "every product is made of it" [ "$vex" -ge 500 ]
check "no EVEX prefix" [ "$(lines '^ *[0-9a-f]+:[[:space:]]*62 ')" = 0 ]
check "no register of AVX-512" [ "$(lines '%(zmm|k[0-7]|[xy]mm(1[6-9]|2[0-9]|3[01]))')" = 0 ]
check "no product by way of 16 bits" [ "$(lines 'vpmaddubsw.*%ymm')" = 0 ]
done_testing
