/* Which instruction sets the processor has and the operating system saves: CPUID alone is not enough, since a
 * hypervisor or kernel may show a feature whose registers it does not switch. */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>

#define CPUID1_ECX_FMA (1u << 12)
#define CPUID1_ECX_OSXSAVE (1u << 27)
#define CPUID1_ECX_AVX (1u << 28)
#define CPUID1_ECX_F16C (1u << 29)
#define CPUID7_EBX_AVX2 (1u << 5)
#define CPUID7_EBX_BMI2 (1u << 8)
#define CPUID7_EBX_AVX512 (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) /* F, DQ, BW, VL */
#define CPUID7_ECX_AVX512_VNNI (1u << 11)
#define CPUID7_1_EAX_AVX512_BF16 (1u << 5) /* of subleaf 1 */
#define XCR0_AVX 0x06u    /* SSE and upper halves of ymm */
#define XCR0_AVX512 0xe6u /* besides: mask registers, upper halves of zmm, zmm16 to zmm31 */

static bool has(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

/* The state components that the operating system saves. Only valid where CPUID shows OSXSAVE. */
static uint32_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

ash_level ash_level_detect(void)
{
    uint32_t a, b, c, d, leaf1_c;
    if (!__get_cpuid(1, &a, &b, &leaf1_c, &d) || !has(leaf1_c, CPUID1_ECX_OSXSAVE))
        return ASH_LEVEL_SCALAR;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return ASH_LEVEL_SCALAR;
    uint32_t enabled = xcr0();
    if (!has(leaf1_c, CPUID1_ECX_AVX | CPUID1_ECX_FMA | CPUID1_ECX_F16C) ||
        !has(b, CPUID7_EBX_AVX2 | CPUID7_EBX_BMI2) || !has(enabled, XCR0_AVX))
        return ASH_LEVEL_SCALAR;
    if (!has(b, CPUID7_EBX_AVX512) || !has(enabled, XCR0_AVX512))
        return ASH_LEVEL_AVX2;
    if (!has(c, CPUID7_ECX_AVX512_VNNI))
        return ASH_LEVEL_AVX512;
    if (a < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) /* a: the last subleaf */
        return ASH_LEVEL_VNNI;
    return has(a, CPUID7_1_EAX_AVX512_BF16) ? ASH_LEVEL_AVX512BF16 : ASH_LEVEL_VNNI;
}

#else

ash_level ash_level_detect(void) { return ASH_LEVEL_SCALAR; }

#endif
