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
#define CPUID7_1_EAX_AVX_VNNI (1u << 4) /* of subleaf 1 */
#define CPUID7_1_EAX_AVX512_BF16 (1u << 5)
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

static uint32_t find_levels(void)
{
    const uint32_t scalar = 1u << ASH_LEVEL_SCALAR;
    uint32_t a, b, c, d, leaf1_c, leaf7_b, leaf7_c, levels = scalar;
    if (!__get_cpuid(1, &a, &b, &leaf1_c, &d) || !has(leaf1_c, CPUID1_ECX_OSXSAVE))
        return scalar;
    if (!__get_cpuid_count(7, 0, &a, &leaf7_b, &leaf7_c, &d))
        return scalar;
    uint32_t enabled = xcr0(), subleaf1_a = 0;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) /* a: the last subleaf */
        subleaf1_a = a;
    if (!has(leaf1_c, CPUID1_ECX_AVX | CPUID1_ECX_FMA | CPUID1_ECX_F16C) ||
        !has(leaf7_b, CPUID7_EBX_AVX2 | CPUID7_EBX_BMI2) || !has(enabled, XCR0_AVX))
        return scalar;
    levels |= 1u << ASH_LEVEL_AVX2;
    if (has(subleaf1_a, CPUID7_1_EAX_AVX_VNNI))
        levels |= 1u << ASH_LEVEL_AVXVNNI;
    if (!has(leaf7_b, CPUID7_EBX_AVX512) || !has(enabled, XCR0_AVX512))
        return levels;
    levels |= 1u << ASH_LEVEL_AVX512;
    if (!has(leaf7_c, CPUID7_ECX_AVX512_VNNI))
        return levels;
    levels |= 1u << ASH_LEVEL_VNNI;
    if (has(subleaf1_a, CPUID7_1_EAX_AVX512_BF16))
        levels |= 1u << ASH_LEVEL_AVX512BF16;
    return levels;
}

#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

static uint32_t find_levels(void)
{
    bool dot = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
    return 1u << ASH_LEVEL_SCALAR | (dot ? 1u << ASH_LEVEL_NEON : 0);
}

#else

static uint32_t find_levels(void) { return 1u << ASH_LEVEL_SCALAR; }

#endif

/* One bit a level. A hypervisor may take microseconds for a CPUID, so they are found once; whoever comes first while
 * others do finds the same. */
static uint32_t levels_here(void)
{
    static _Atomic uint32_t known;
    if (!known)
        known = find_levels();
    return known;
}

bool ash_level_has(ash_level level) { return level < ASH_LEVEL_COUNT && levels_here() >> level & 1; }

ash_level ash_level_upto(ash_level most)
{
    int level = most < ASH_LEVEL_COUNT ? (int)most : ASH_LEVEL_COUNT - 1;
    while (level > ASH_LEVEL_SCALAR && !ash_level_has((ash_level)level))
        level--;
    return (ash_level)level;
}

ash_level ash_level_detect(void) { return ash_level_upto(ASH_LEVEL_COUNT - 1); }

bool ash_units_shared(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_is("intel");
#else
    return false;
#endif
}
