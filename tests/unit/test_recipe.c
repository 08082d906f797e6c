/* Recipes: which type each matrix gets. The mixes against the tables of what llama.cpp's quantizer writes. */
#include <stdio.h>
#include <string.h>

#include "format/container.h"
#include "quant/recipe.h"
#include "tests/support/support.h"

static const char *const nameless[3] = { NULL };

static uint32_t type_of(const char *recipe, const ash_hparams *h, uint32_t role, uint32_t layer)
{
    ash_recipe r;
    uint32_t rule;
    assert_true(ash_recipe_named(recipe, &r));
    uint32_t type = ash_recipe_type(&r, h, role, layer, nameless, &rule);
    assert_int_equal(rule, UINT32_MAX);
    return type;
}

static ash_hparams model(uint32_t layers, bool tied)
{
    ash_hparams h = { .architecture = "llama", .layers = layers, .heads = 32, .kv_heads = 8, .tied_output = tied };
    return h;
}

/* 'y' where v or down of the layer has more bits than the rest. */
static void more_bits(const char *recipe, uint32_t layers, uint32_t role, uint32_t more, const char *expected)
{
    ash_hparams h = model(layers, false);
    uint32_t plain = type_of(recipe, &h, ASH_ROLE_Q, 0);
    assert_int_equal(strlen(expected), layers);
    for (uint32_t i = 0; i < layers; i++)
        if (type_of(recipe, &h, role, i) != (expected[i] == 'y' ? more : plain))
            fail_msg("%s, %u layers: role %u of layer %u is %s", recipe, layers, role, i,
                     ash_dtype_name(type_of(recipe, &h, role, i)));
}

static void mixes(void **state)
{
    (void)state;
    /* 32 layers: 0 to 3, every third from 6 on, 28 to 31. */
    static const char of_32[] = "yyyynnynnynnynnynnynnynnynnyyyyy";
    static const char of_7[] = "nnynnny"; /* 7 / 8 = 0; from 6 on; 2, 5: (i - 0) % 3 == 2 */
    char seven[8];
    memcpy(seven, of_7, 8);
    seven[5] = 'y';
    more_bits("q4_k_m", 32, ASH_ROLE_V, ASH_Q6_K, of_32);
    more_bits("q4_k_m", 32, ASH_ROLE_DOWN, ASH_Q6_K, of_32);
    more_bits("q5_k_m", 32, ASH_ROLE_V, ASH_Q6_K, of_32);
    more_bits("q5_k_m", 32, ASH_ROLE_DOWN, ASH_Q6_K, of_32);
    more_bits("q4_k_m", 7, ASH_ROLE_DOWN, ASH_Q6_K, seven);
    more_bits("q4_k_s", 32, ASH_ROLE_V, ASH_Q5_K, "yyyynnnnnnnnnnnnnnnnnnnnnnnnnnnn");
    more_bits("q4_k_s", 16, ASH_ROLE_V, ASH_Q5_K, "yyyynnnnnnnnnnnn");
    more_bits("q4_k_s", 16, ASH_ROLE_DOWN, ASH_Q5_K, "yynnnnnnnnnnnnnn");
    static const uint32_t rest[] = { ASH_ROLE_Q, ASH_ROLE_K, ASH_ROLE_O, ASH_ROLE_GATE, ASH_ROLE_UP };
    ash_hparams h = model(32, false), tied = model(32, true);
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        for (uint32_t layer = 0; layer < 32; layer++) {
            assert_int_equal(type_of("q4_k_m", &h, rest[i], layer), ASH_Q4_K);
            assert_int_equal(type_of("q4_k_s", &h, rest[i], layer), ASH_Q4_K);
            assert_int_equal(type_of("q5_k_m", &h, rest[i], layer), ASH_Q5_K);
        }
    assert_int_equal(type_of("q4_k_m", &h, ASH_ROLE_OUTPUT, ASH_NO_LAYER), ASH_Q6_K);
    assert_int_equal(type_of("q4_k_m", &h, ASH_ROLE_EMBED, ASH_NO_LAYER), ASH_Q4_K);
    assert_int_equal(type_of("q4_k_m", &tied, ASH_ROLE_EMBED, ASH_NO_LAYER), ASH_Q6_K);
    assert_int_equal(type_of("q5_k_m", &h, ASH_ROLE_EMBED, ASH_NO_LAYER), ASH_Q5_K);
}

/* 80 layers with shared keys: no v is q4_k. */
static void seventy_billion(void **state)
{
    (void)state;
    ash_hparams h = model(80, false);
    assert_int_equal(type_of("q4_k_m", &h, ASH_ROLE_V, 10), ASH_Q5_K);
    assert_int_equal(type_of("q4_k_m", &h, ASH_ROLE_V, 12), ASH_Q6_K);
    assert_int_equal(type_of("q4_k_s", &h, ASH_ROLE_V, 10), ASH_Q5_K);
    assert_int_equal(type_of("q4_k_m", &h, ASH_ROLE_DOWN, 10), ASH_Q4_K);
    h.kv_heads = h.heads;
    assert_int_equal(type_of("q4_k_m", &h, ASH_ROLE_V, 10), ASH_Q4_K);
    strcpy(h.architecture, "qwen2");
    assert_int_equal(type_of("q4_k_m", &h, ASH_ROLE_V, 10), ASH_Q5_K);
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = { "keep", "q4_k_m", "q4_k_s", "q5_k_m", "fp8", "f32", "q4_0", "q6_k", "f8_e4m3" };
    ash_recipe r;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(ash_recipe_named(good[i], &r));
        assert_string_equal(ash_recipe_name(&r), good[i]);
    }
    assert_false(ash_recipe_named("q4_k_l", &r));
    assert_false(ash_recipe_named("", &r));
    ash_hparams h = model(4, false);
    assert_int_equal(type_of("fp8", &h, ASH_ROLE_OUTPUT, ASH_NO_LAYER), ASH_TYPE_KEEP);
    assert_int_equal(type_of("fp8", &h, ASH_ROLE_EMBED, ASH_NO_LAYER), ASH_TYPE_KEEP);
    assert_int_equal(type_of("fp8", &h, ASH_ROLE_V, 0), ASH_F8_E4M3);
    assert_int_equal(type_of("f8_e4m3", &h, ASH_ROLE_EMBED, ASH_NO_LAYER), ASH_F8_E4M3);
}

static void rules(void **state)
{
    (void)state;
    ash_recipe r;
    ash_error err;
    ash_hparams h = model(4, false);
    assert_true(ash_recipe_named("q4_k_m", &r));
    assert_ok(ash_recipe_add(&r, "blk.[01].attn_v.weight=q8_0", &err), &err);
    assert_ok(ash_recipe_add(&r, "*attn_v*=fp8", &err), &err);
    assert_ok(ash_recipe_add(&r, "lm_head.weight=keep", &err), &err);
    static const struct { const char *names[3]; uint32_t rule, type; } cases[] = {
        { { "layers.1.v", "model.layers.1.self_attn.v_proj.weight", "blk.1.attn_v.weight" }, 0, ASH_Q8_0 },
        { { "layers.2.v", NULL, "blk.2.attn_v.weight" }, 1, ASH_F8_E4M3 }, /* of two that match, the first counts */
        { { "output", "lm_head.weight", NULL }, 2, ASH_TYPE_KEEP },
        { { "layers.2.q", "model.layers.2.self_attn.q_proj.weight", NULL }, UINT32_MAX, ASH_Q4_K },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t rule;
        assert_int_equal(ash_recipe_type(&r, &h, ASH_ROLE_Q, 2, cases[i].names, &rule), cases[i].type);
        assert_int_equal(rule, cases[i].rule);
    }
    static const char *const bad[] = { "", "=q4_k", "blk.0", "blk.0=", "blk.0=q4", "a=b=c" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ash_recipe_add(&r, bad[i], &err), ASH_E_ARGUMENT);
    char name[1100] = "";
    memset(name, 'x', 1030);
    strcpy(name + 1030, "=q4_k");
    assert_int_equal(ash_recipe_add(&r, name, &err), ASH_E_ARGUMENT);
    assert_int_equal(r.rule_count, 3);
    while (r.rule_count < ASH_RECIPE_RULES)
        assert_ok(ash_recipe_add(&r, "x=q4_k", &err), &err);
    assert_int_equal(ash_recipe_add(&r, "x=q4_k", &err), ASH_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixes), cmocka_unit_test(seventy_billion), cmocka_unit_test(names), cmocka_unit_test(rules),
    };
    return cmocka_run_group_tests_name("recipes", tests, NULL, NULL);
}
