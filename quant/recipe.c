#include "quant/recipe.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "format/container.h"

static const struct { const char *name; uint32_t type; ash_mix mix; } named[] = {
    { "q4_k_s", ASH_Q4_K, ASH_MIX_Q4_K_S },
    { "q4_k_m", ASH_Q4_K, ASH_MIX_Q4_K_M },
    { "q5_k_m", ASH_Q5_K, ASH_MIX_Q5_K_M },
    { "fp8", ASH_F8_E4M3, ASH_MIX_FP8 },
    { "keep", ASH_TYPE_KEEP, ASH_MIX_NONE },
};

/* A type by name; "fp8" is short for f8_e4m3. */
static bool type_named(const char *name, uint32_t *out)
{
    *out = strcmp(name, "fp8") == 0 ? ASH_F8_E4M3 : (uint32_t)ash_dtype_from_name(name);
    return *out != ASH_DTYPE_COUNT || strcmp(name, "keep") == 0;
}

bool ash_recipe_named(const char *name, ash_recipe *out)
{
    *out = (ash_recipe){ .type = ASH_TYPE_KEEP };
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(name, named[i].name) == 0) {
            out->type = named[i].type;
            out->mix = named[i].mix;
            return true;
        }
    return type_named(name, &out->type);
}

const char *ash_recipe_name(const ash_recipe *recipe)
{
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (recipe->mix == named[i].mix && recipe->type == named[i].type)
            return named[i].name;
    return ash_dtype_name(recipe->type);
}

ash_status ash_recipe_add(ash_recipe *recipe, const char *rule, ash_error *err)
{
    const char *equals = strrchr(rule, '=');
    if (!equals || equals == rule)
        return ash_fail(err, ASH_E_ARGUMENT, "'%.200s' is no PATTERN=TYPE", rule);
    if (recipe->rule_count == ASH_RECIPE_RULES)
        return ash_fail(err, ASH_E_LIMIT, "'%.200s' is one rule too many: %d are the most", rule, ASH_RECIPE_RULES);
    ash_recipe_rule *r = &recipe->rules[recipe->rule_count];
    *r = (ash_recipe_rule){ .text = rule, .name_bytes = (uint32_t)(equals - rule) };
    if (equals - rule > 1024)
        return ash_fail(err, ASH_E_ARGUMENT, "'%.60s...' is too long for a tensor's name", rule);
    if (!type_named(equals + 1, &r->type))
        return ash_fail(err, ASH_E_ARGUMENT, "'%.200s' names no type that is known", rule);
    recipe->rule_count++;
    return ASH_OK;
}

static bool matches(const ash_recipe_rule *rule, const char *const names[3])
{
    char pattern[1025];
    snprintf(pattern, sizeof pattern, "%.*s", (int)rule->name_bytes, rule->text);
    for (int i = 0; i < 3; i++)
        if (names[i] && fnmatch(pattern, names[i], 0) == 0)
            return true;
    return false;
}

/* The layers where v and down are worth more bits. */
static bool more_bits(uint32_t layer, uint32_t layers)
{
    uint32_t eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

static uint32_t of_v(const ash_recipe *r, const ash_hparams *h, uint32_t layer)
{
    bool m = r->mix == ASH_MIX_Q4_K_M || r->mix == ASH_MIX_Q5_K_M;
    if (m && more_bits(layer, h->layers))
        return ASH_Q6_K;
    if (r->mix == ASH_MIX_Q4_K_S && layer < 4)
        return ASH_Q5_K;
    /* llama.cpp knows models of 70 B by their 80 layers: there v has an eighth of q's rows, and bits are cheap. */
    bool large = h->layers == 80 && (strcmp(h->architecture, "qwen2") == 0 ||
                                     (strcmp(h->architecture, "llama") == 0 && h->heads != h->kv_heads));
    return large && r->type == ASH_Q4_K ? (uint32_t)ASH_Q5_K : r->type;
}

static uint32_t of_down(const ash_recipe *r, const ash_hparams *h, uint32_t layer)
{
    if (r->mix == ASH_MIX_Q4_K_S)
        return layer < h->layers / 8 ? (uint32_t)ASH_Q5_K : r->type;
    return more_bits(layer, h->layers) ? (uint32_t)ASH_Q6_K : r->type;
}

uint32_t ash_recipe_type(const ash_recipe *r, const ash_hparams *h, uint32_t role, uint32_t layer,
                         const char *const names[3], uint32_t *rule)
{
    for (*rule = 0; *rule < r->rule_count; ++*rule)
        if (matches(&r->rules[*rule], names))
            return r->rules[*rule].type;
    *rule = UINT32_MAX;
    bool ends = role == ASH_ROLE_EMBED || role == ASH_ROLE_OUTPUT;
    if (r->mix == ASH_MIX_NONE)
        return r->type;
    if (r->mix == ASH_MIX_FP8)
        return ends ? (uint32_t)ASH_TYPE_KEEP : r->type;
    if (role == ASH_ROLE_OUTPUT || (role == ASH_ROLE_EMBED && h->tied_output))
        return ASH_Q6_K;
    return role == ASH_ROLE_V ? of_v(r, h, layer) : role == ASH_ROLE_DOWN ? of_down(r, h, layer) : r->type;
}
