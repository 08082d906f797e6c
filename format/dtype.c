#include "format/dtype.h"

#include <string.h>

#include "format/checked.h"

#define DTYPE(id, name, safetensors, gguf, elems, bytes) [id] = { name, safetensors, gguf, elems, bytes }

static const ash_dtype_info table[ASH_DTYPE_COUNT] = {
    DTYPE(ASH_F32, "f32", "F32", 0, 1, 4),
    DTYPE(ASH_F16, "f16", "F16", 1, 1, 2),
    DTYPE(ASH_BF16, "bf16", "BF16", 30, 1, 2),
    DTYPE(ASH_F8_E4M3, "f8_e4m3", "F8_E4M3", -1, 1, 1),
    DTYPE(ASH_Q4_0, "q4_0", NULL, 2, 32, 18),
    DTYPE(ASH_Q4_1, "q4_1", NULL, 3, 32, 20),
    DTYPE(ASH_Q5_0, "q5_0", NULL, 6, 32, 22),
    DTYPE(ASH_Q5_1, "q5_1", NULL, 7, 32, 24),
    DTYPE(ASH_Q8_0, "q8_0", NULL, 8, 32, 34),
    DTYPE(ASH_Q4_K, "q4_k", NULL, 12, 256, 144),
    DTYPE(ASH_Q5_K, "q5_k", NULL, 13, 256, 176),
    DTYPE(ASH_Q6_K, "q6_k", NULL, 14, 256, 210),
    DTYPE(ASH_F64, "f64", "F64", 28, 1, 8),
    DTYPE(ASH_F8_E5M2, "f8_e5m2", "F8_E5M2", -1, 1, 1),
    DTYPE(ASH_F8_E8M0, "f8_e8m0", "F8_E8M0", -1, 1, 1),
    DTYPE(ASH_I8, "i8", "I8", 24, 1, 1),
    DTYPE(ASH_U8, "u8", "U8", -1, 1, 1),
    DTYPE(ASH_I16, "i16", "I16", 25, 1, 2),
    DTYPE(ASH_U16, "u16", "U16", -1, 1, 2),
    DTYPE(ASH_I32, "i32", "I32", 26, 1, 4),
    DTYPE(ASH_U32, "u32", "U32", -1, 1, 4),
    DTYPE(ASH_I64, "i64", "I64", 27, 1, 8),
    DTYPE(ASH_U64, "u64", "U64", -1, 1, 8),
    DTYPE(ASH_BOOL, "bool", "BOOL", -1, 1, 1),
    DTYPE(ASH_F4, "f4", "F4", -1, 2, 1),
    DTYPE(ASH_F6_E2M3, "f6_e2m3", "F6_E2M3", -1, 4, 3),
    DTYPE(ASH_F6_E3M2, "f6_e3m2", "F6_E3M2", -1, 4, 3),
    DTYPE(ASH_C64, "c64", "C64", -1, 1, 8),
    DTYPE(ASH_Q8_1, "q8_1", NULL, 9, 32, 36),
    DTYPE(ASH_Q2_K, "q2_k", NULL, 10, 256, 84),
    DTYPE(ASH_Q3_K, "q3_k", NULL, 11, 256, 110),
    DTYPE(ASH_Q8_K, "q8_k", NULL, 15, 256, 292),
    DTYPE(ASH_IQ2_XXS, "iq2_xxs", NULL, 16, 256, 66),
    DTYPE(ASH_IQ2_XS, "iq2_xs", NULL, 17, 256, 74),
    DTYPE(ASH_IQ3_XXS, "iq3_xxs", NULL, 18, 256, 98),
    DTYPE(ASH_IQ1_S, "iq1_s", NULL, 19, 256, 50),
    DTYPE(ASH_IQ4_NL, "iq4_nl", NULL, 20, 32, 18),
    DTYPE(ASH_IQ3_S, "iq3_s", NULL, 21, 256, 110),
    DTYPE(ASH_IQ2_S, "iq2_s", NULL, 22, 256, 82),
    DTYPE(ASH_IQ4_XS, "iq4_xs", NULL, 23, 256, 136),
    DTYPE(ASH_IQ1_M, "iq1_m", NULL, 29, 256, 56),
    DTYPE(ASH_TQ1_0, "tq1_0", NULL, 34, 256, 54),
    DTYPE(ASH_TQ2_0, "tq2_0", NULL, 35, 256, 66),
    DTYPE(ASH_MXFP4, "mxfp4", NULL, 39, 32, 17),
};

const ash_dtype_info *ash_dtype_find(uint32_t type)
{
    return type < ASH_DTYPE_COUNT ? &table[type] : NULL;
}

const char *ash_dtype_name(uint32_t type)
{
    return type < ASH_DTYPE_COUNT ? table[type].name : "unknown";
}

ash_dtype ash_dtype_from_gguf(uint32_t ggml_type)
{
    for (uint32_t i = 0; i < ASH_DTYPE_COUNT; i++)
        if (table[i].gguf >= 0 && (uint32_t)table[i].gguf == ggml_type)
            return (ash_dtype)i;
    return ASH_DTYPE_COUNT;
}

ash_dtype ash_dtype_from_safetensors(const char *name)
{
    for (uint32_t i = 0; i < ASH_DTYPE_COUNT; i++)
        if (table[i].safetensors && strcmp(table[i].safetensors, name) == 0)
            return (ash_dtype)i;
    return ASH_DTYPE_COUNT;
}

ash_dtype ash_dtype_from_name(const char *name)
{
    for (uint32_t i = 0; i < ASH_DTYPE_COUNT; i++)
        if (strcmp(table[i].name, name) == 0)
            return (ash_dtype)i;
    return ASH_DTYPE_COUNT;
}

bool ash_row_bytes(uint32_t type, uint64_t cols, uint64_t *out)
{
    const ash_dtype_info *info = ash_dtype_find(type);
    return info && ash_mul(ash_div_up(cols, info->block_elems), info->block_bytes, out);
}
