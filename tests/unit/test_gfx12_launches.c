/* What the roofline counts is what the runtime launches: for small models of several shapes and types the list that
 * make roofline builds from a model's shape alone (tests/gfx12/roofline/models.c) beside the runtime's plan of the
 * converted file (runtime/hip/): the same kernels with the same grids and sizes, as often. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/hip/plan.h"
#include "runtime/model.h"
#include "tests/gfx12/roofline/roofline.h"
#include "tests/support/make_hf.h"
#include "tests/support/session.h"

/* One kind of launch. Panels are those of all parts: what lies in one fused tensor is one part for the runtime. */
typedef struct kind {
    const char *symbol;
    uint32_t grid[3];
    uint32_t op, cols, tokens, panels, next_cols, next_form;
    uint32_t times;
} kind;

typedef struct kinds { kind list[256]; uint32_t count; } kinds;

static uint32_t panels_of(const ash_gfx_part *part, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t p = 0; p < count; p++)
        sum += part[p].panels;
    return sum;
}

static void add(kinds *to, const ash_gfx_kernel *k, const uint32_t grid[3], const ash_gfx_args *a, uint32_t times)
{
    kind one = { .symbol = k->symbol, .grid = { grid[0], grid[1], grid[2] }, .op = k->op };
    switch (k->op) {
    case ASH_GFX_OP_DECODE:
        one.cols = a->decode.cols, one.tokens = a->decode.tokens;
        one.panels = panels_of(a->decode.part, a->decode.part_count);
        break;
    case ASH_GFX_OP_PREFILL:
        one.cols = a->prefill.cols, one.tokens = a->prefill.tokens;
        one.panels = panels_of(a->prefill.part, a->prefill.part_count);
        one.next_cols = a->prefill.next.cols, one.next_form = a->prefill.next.form;
        break;
    case ASH_GFX_OP_INPUTS: one.cols = a->inputs.cols, one.tokens = a->inputs.tokens; break;
    case ASH_GFX_OP_EMBED: one.cols = a->embed.cols, one.tokens = a->embed.tokens; break;
    case ASH_GFX_OP_ATTEND:
    case ASH_GFX_OP_ATTEND_PREFILL:
    case ASH_GFX_OP_KV_STORE: one.cols = a->attend.head_dim, one.tokens = a->attend.tokens; break;
    default: one.cols = a->sample.count; break;
    }
    for (uint32_t i = 0; i < to->count; i++) {
        one.times = to->list[i].times;
        if (strcmp(one.symbol, to->list[i].symbol) == 0 && memcmp(one.grid, to->list[i].grid, sizeof one.grid) == 0 &&
            memcmp(&one.op, &to->list[i].op, sizeof one - offsetof(kind, op)) == 0) {
            to->list[i].times += times;
            return;
        }
    }
    assert_true(to->count < sizeof to->list / sizeof *to->list);
    one.times = times;
    to->list[to->count++] = one;
}

static void print(char out[160], const kind *k)
{
    snprintf(out, 160, "%u x %s, %u x %u x %u workgroups, %u columns, %u tokens, %u panels, %u columns in form %u left",
             k->times, k->symbol, k->grid[0], k->grid[1], k->grid[2], k->cols, k->tokens, k->panels, k->next_cols,
             k->next_form);
}

/* Both begin a kind with its first launch, so they are in the same order too. */
static void compare(const char *name, const kinds *counted, const kinds *launched)
{
    char a[160], b[160];
    for (uint32_t i = 0; i < counted->count || i < launched->count; i++) {
        strcpy(a, "nothing"), strcpy(b, "nothing");
        if (i < counted->count)
            print(a, &counted->list[i]);
        if (i < launched->count)
            print(b, &launched->list[i]);
        if (strcmp(a, b) != 0)
            fail_msg("%s: the roofline counts %s; the runtime launches %s", name, a, b);
    }
}

static ashlar_model *load(const make_spec *spec, const char *type, const char *name)
{
    char file[80];
    snprintf(file, sizeof file, "%s.ashlar", name);
    return test_load_recipe(make_hf(name, spec), file, type, NULL);
}

static void runtime(const ashlar_model *model, uint32_t tokens, uint32_t context, kinds *out)
{
    ash_hip_plan_options o = { .context = context, .batch = tokens };
    ash_hip_plan *plan;
    ash_error err;
    assert_ok(ash_hip_plan_new(model, &o, &plan, &err), &err);
    void *constants = malloc(ash_hip_plan_sizes(plan).constants);
    ash_hip_plan_memory at = { 1 << 20, 2 << 20, 3 << 20, 4 << 20 }; /* addresses that nobody touches */
    ash_hip_plan_place(plan, &at, constants);
    ash_launches list;
    assert_ok(ash_hip_plan_pass(plan, tokens, ASH_PLAN_GREEDY, &list, &err), &err);
    out->count = 0;
    for (uint32_t i = 0; i < list.count; i++)
        add(out, list.list[i].kernel, list.list[i].grid, &list.list[i].args, 1);
    ash_launches_free(&list);
    ash_hip_plan_free(plan);
    free(constants);
}

static void roofline(const ashlar_model *model, const char *type, uint32_t tokens, uint32_t context, kinds *out)
{
    roof_list *list = malloc(sizeof *list);
    roof_pass(&model->meta.h, type, tokens, context, list);
    assert_false(list->overflow);
    out->count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const roof_launch *l = &list->launch[i];
        uint32_t grid[3] = { l->grid.x, l->grid.y, l->grid.z };
        if (!l->kernel)
            fail_msg("%s of %u tokens, %s: no kernel", type, tokens, l->what);
        add(out, l->kernel, grid, &l->args, l->times);
    }
    free(list);
}

static void test_lists(void **state)
{
    (void)state;
    static const char *const types[] = { "q4_k_m", "q4_k", "q5_k_m", "q6_k", "q8_0", "q4_0", "fp8", "bf16", "f16" };
    static const uint32_t passes[] = { 1, 3, 8, 9, 75, 512 };
    kinds *counted = malloc(sizeof *counted), *launched = malloc(sizeof *launched);
    for (int shape = 0; shape < 2; shape++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            char name[64];
            make_spec spec = make_defaults();
            spec.architecture = shape ? "qwen2" : "llama";
            spec.dtype = strcmp(types[t], "f16") == 0 ? ASH_F16 : ASH_BF16;
            spec.hidden = 512, spec.ffn = shape ? 1280 : 768, spec.layers = 9; /* mixes treat layers apart */
            spec.heads = 8, spec.kv_heads = shape ? 4 : 2, spec.head_dim = 64;
            snprintf(name, sizeof name, "%s_%s", spec.architecture, types[t]);
            ashlar_model *model = load(&spec, types[t], name);
            for (size_t p = 0; p < sizeof passes / sizeof *passes; p++) {
                uint32_t context = passes[p] <= ASH_GFX_DECODE_TOKENS ? 1000 : passes[p];
                roofline(model, types[t], passes[p], context, counted);
                runtime(model, passes[p], context, launched);
                snprintf(name, sizeof name, "%s %s, %u tokens", spec.architecture, types[t], passes[p]);
                compare(name, counted, launched);
            }
            ashlar_model_free(model);
        }
    free(counted), free(launched);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(test_lists) };

int main(void) { return cmocka_run_group_tests_name("gfx12_launches", tests, NULL, NULL); }
