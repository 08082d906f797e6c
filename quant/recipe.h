/* Which type each matrix of a model gets: one for all, a mix that GGUF users know, and rules for single tensors.
 *
 * q4_k_s, q4_k_m, q5_k_m: as llama.cpp chooses them. The output matrix (the embedding, where it serves as output) is
 *   q6_k; q4_k_m, q5_k_m: v and down of the first and last eighth of the layers, and of every third one between, are
 *   q6_k; q4_k_s: v of the first four layers and down of the first eighth are q5_k. In models of 80 layers whose query
 *   heads share keys, a v that would be q4_k is q5_k. All else has the type of the name.
 * fp8: f8_e4m3, but embedding and output keep their type, as FP8 checkpoints have it.
 */
#ifndef ASHLAR_QUANT_RECIPE_H
#define ASHLAR_QUANT_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/dtype.h"
#include "format/meta.h"
#include "format/status.h"

#define ASH_TYPE_KEEP ASH_DTYPE_COUNT /* the source's type */
#define ASH_RECIPE_RULES 64
#define ASH_RECIPE_NAMES \
    "keep, q4_k_m, q4_k_s, q5_k_m, fp8, f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1, q4_0"

typedef enum ash_mix { ASH_MIX_NONE, ASH_MIX_Q4_K_S, ASH_MIX_Q4_K_M, ASH_MIX_Q5_K_M, ASH_MIX_FP8 } ash_mix;

typedef struct ash_recipe_rule {
    const char *text;    /* "PATTERN=TYPE" as the caller gave it; must outlive the recipe */
    uint32_t type;       /* ash_dtype or ASH_TYPE_KEEP */
    uint32_t name_bytes; /* of PATTERN */
} ash_recipe_rule;

typedef struct ash_recipe {
    uint32_t type; /* of every matrix that neither the mix nor a rule gives another: ash_dtype or ASH_TYPE_KEEP */
    ash_mix mix;
    bool fp8_row;  /* FP8: a scale for each row rather than one for the tensor */
    uint32_t rule_count;
    ash_recipe_rule rules[ASH_RECIPE_RULES];
} ash_recipe;

/* A name of ASH_RECIPE_NAMES, or of another type; false where there is none. `out` has no rules. */
bool ash_recipe_named(const char *name, ash_recipe *out);
/* The name; a static string. */
const char *ash_recipe_name(const ash_recipe *recipe);
/* Adds a rule "PATTERN=TYPE". PATTERN: a glob (* ? [...]) over a tensor's whole name. */
ash_status ash_recipe_add(ash_recipe *recipe, const char *rule, ash_error *err);

/* The type of the matrix of a role (q, k, v, gate and up rather than what fuses them). names: those that the matrix
 * goes by, NULL for none. The first rule that matches one of them decides, as with llama.cpp's --tensor-type, and *rule gets
 * its index; else the mix, and *rule is UINT32_MAX. */
uint32_t ash_recipe_type(const ash_recipe *recipe, const ash_hparams *h, uint32_t role, uint32_t layer,
                         const char *const names[3], uint32_t *rule);

#endif
