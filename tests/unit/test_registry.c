/* The registry of kernels and the levels: what the processor grants, and what ash_kernels_init takes of the list. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tests/support/support.h"

static void test_levels(void **state)
{
    (void)state;
    size_t count;
    const ash_kernel *list = ash_kernel_list(&count);
    ash_level detected = ash_level_detect();
#if defined(__x86_64__)
    /* The compiler's own detection, which asks the operating system too. */
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
                __builtin_cpu_supports("bmi2");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    /* gcc 12 knows no name for AVX-VNNI; it takes the registers of AVX2 and a bit of its own. */
    unsigned a, b, c, d;
    bool avxvnni = avx2 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1 &&
                   __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
    bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    bool bf16 = vnni && __builtin_cpu_supports("avx512bf16");
    const bool here[ASH_LEVEL_COUNT] = { [ASH_LEVEL_SCALAR] = true, [ASH_LEVEL_AVX2] = avx2,
                                         [ASH_LEVEL_AVXVNNI] = avxvnni, [ASH_LEVEL_AVX512] = avx512,
                                         [ASH_LEVEL_VNNI] = vnni, [ASH_LEVEL_AVX512BF16] = bf16 };
    for (int level = 0; level < ASH_LEVEL_COUNT; level++)
        assert_int_equal(ash_level_has((ash_level)level), here[level]);
#elif defined(__aarch64__)
    assert_true(ash_level_has(ASH_LEVEL_NEON)); /* qemu's processor has it: else every test of it would be skipped */
#endif
    assert_true(ash_level_has(ASH_LEVEL_SCALAR) && ash_level_has(detected) && !ash_level_has(ASH_LEVEL_COUNT));
    for (int level = (int)detected + 1; level < ASH_LEVEL_COUNT; level++)
        assert_false(ash_level_has((ash_level)level));
    printf("# measure level %s, %zu kernels\n", ash_level_name(detected), count);
    for (int level = 0; level < ASH_LEVEL_COUNT; level++) {
        ash_kernels table;
        ash_kernels_init(&table, (ash_level)level);
        assert_true((int)table.level <= level && ash_level_has(table.level));
        for (int skipped = (int)table.level + 1; skipped <= level; skipped++)
            assert_false(ash_level_has((ash_level)skipped));
        for (int dtype = 0; dtype < ASH_USABLE_DTYPES; dtype++) {
            assert_true(table.matmul_f32[dtype] && table.row[dtype]);
            assert_true((table.matmul_q8[dtype] != NULL) == (dtype >= ASH_Q4_0));
            assert_true((table.matmul_bf16[dtype] != NULL) == (dtype == ASH_BF16 || dtype == ASH_F8_E4M3));
            assert_true((table.attention[dtype] != NULL) ==
                        (dtype == ASH_F16 || dtype == ASH_F8_E4M3 || dtype == ASH_Q8_0));
        }
        assert_true(table.quantize_q8 && table.round_e4m3 && table.max_abs && table.rms_norm && table.rope &&
                    table.swiglu && table.add && table.to_f16 && table.to_bf16 && table.attention_join &&
                    table.encode_e4m3 && table.error_e4m3 && table.feed);
        /* Each slot holds the last line of the list that the level allows. */
        for (size_t i = 0; i < count; i++) {
            const ash_kernel *k = &list[i], *last = k;
            ash_any_fn *slot = NULL;
            switch (k->op) {
            case ASH_OP_MATMUL_F32: slot = (ash_any_fn *)table.matmul_f32[k->dtype]; break;
            case ASH_OP_MATMUL_Q8: slot = (ash_any_fn *)table.matmul_q8[k->dtype]; break;
            case ASH_OP_MATMUL_BF16: slot = (ash_any_fn *)table.matmul_bf16[k->dtype]; break;
            case ASH_OP_ROW: slot = (ash_any_fn *)table.row[k->dtype]; break;
            case ASH_OP_QUANTIZE_Q8: slot = (ash_any_fn *)table.quantize_q8; break;
            case ASH_OP_QUANTIZE_FINE: slot = (ash_any_fn *)table.quantize_fine; break;
            case ASH_OP_ENCODE: slot = (ash_any_fn *)table.encode[k->dtype]; break;
            case ASH_OP_FEED: slot = (ash_any_fn *)table.feed; break;
            case ASH_OP_DECODE: slot = (ash_any_fn *)table.decode[k->dtype]; break;
            case ASH_OP_ENCODE_E4M3: slot = (ash_any_fn *)table.encode_e4m3; break;
            case ASH_OP_ERROR_E4M3: slot = (ash_any_fn *)table.error_e4m3; break;
            case ASH_OP_ROUND_E4M3: slot = (ash_any_fn *)table.round_e4m3; break;
            case ASH_OP_MAX_ABS: slot = (ash_any_fn *)table.max_abs; break;
            case ASH_OP_RMS_NORM: slot = (ash_any_fn *)table.rms_norm; break;
            case ASH_OP_ROPE: slot = (ash_any_fn *)table.rope; break;
            case ASH_OP_SWIGLU: slot = (ash_any_fn *)table.swiglu; break;
            case ASH_OP_ADD: slot = (ash_any_fn *)table.add; break;
            case ASH_OP_TO_F16: slot = (ash_any_fn *)table.to_f16; break;
            case ASH_OP_TO_BF16: slot = (ash_any_fn *)table.to_bf16; break;
            case ASH_OP_ATTENTION: slot = (ash_any_fn *)table.attention[k->dtype]; break;
            case ASH_OP_ATTENTION_JOIN: slot = (ash_any_fn *)table.attention_join; break;
            default: fail_msg("%s has no operation", k->name);
            }
            if (k->level != ASH_LEVEL_SCALAR)
                continue;
            for (size_t j = i + 1; j < count; j++)
                if (list[j].op == k->op && list[j].dtype == k->dtype && list[j].level <= table.level &&
                    ash_level_has(list[j].level))
                    last = &list[j];
            if (slot != last->fn)
                fail_msg("at level %s the slot of %s is not %s", ash_level_name(table.level), k->name, last->name);
        }
    }
}

/* Levels ascend within an operation and type, and a name ends in its level's. */
static void test_registry_order(void **state)
{
    (void)state;
    size_t count;
    const ash_kernel *list = ash_kernel_list(&count);
    for (size_t i = 0; i < count; i++) {
        const char *level = ash_level_name(list[i].level), *name = list[i].name;
        if (strlen(name) < strlen(level) || strcmp(name + strlen(name) - strlen(level), level) != 0)
            fail_msg("%s is registered as %s", name, level);
        assert_true((list[i].dtype < ASH_USABLE_DTYPES) == (list[i].op <= ASH_OP_ROW || list[i].op == ASH_OP_ENCODE ||
                                                             list[i].op == ASH_OP_DECODE || list[i].op == ASH_OP_ATTENTION));
        for (size_t j = i + 1; j < count; j++)
            if (list[j].op == list[i].op && list[j].dtype == list[i].dtype && list[j].level <= list[i].level)
                fail_msg("%s comes before %s", name, list[j].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_levels), cmocka_unit_test(test_registry_order) };
    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
