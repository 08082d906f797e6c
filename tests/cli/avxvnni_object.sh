#!/usr/bin/env bash
# The products of AVX-VNNI run on machines without AVX-512: their object has vpdpbusd in its VEX form and nothing that only
# AVX-512 has, neither an EVEX prefix (62 begins nothing else in 64-bit code) nor its registers.
# Their arithmetic is test_kernels_evex's to test, and test_kernels' on a machine that has AVX-VNNI.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${B:=build}"
number=0 failed=0

check() { # name, condition
    number=$((number + 1))
    if [ "$2" = 0 ]; then echo "ok $number - $1"; else echo "not ok $number - $1"; failed=1; fi
}

object="$B/obj/kernels/x86/matmul_q8_avxvnni.o"
if [ ! -e "$object" ] || ! command -v objdump >/dev/null; then
    echo "ok 1 - # SKIP no object for x86-64, or no objdump"
    echo "1..1"
    exit 0
fi
code=$(objdump -d "$object")
vex=$(grep -c '{vex} vpdpbusd .*%ymm' <<<"$code")
echo "# measure vpdpbusd in its VEX form: $vex"
[ "$vex" -ge 500 ]; check "every product is made of it" $?
! grep -qE '^ *[0-9a-f]+:[[:space:]]*62 ' <<<"$code"; check "no EVEX prefix" $?
! grep -qE '%(zmm|k[0-7]|[xy]mm(1[6-9]|2[0-9]|3[01]))' <<<"$code"; check "no register of AVX-512" $?
! grep -qE 'vpmaddubsw.*%ymm' <<<"$code"; check "no product by way of 16 bits" $?
echo "1..$number"
exit $failed
