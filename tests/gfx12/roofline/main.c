/* make roofline: prints the tables, writes the picture. usage: roofline OUT.svg [MODEL [TYPE] | kernels], or
 * roofline --speed [PART]: how fast the interpreter executes kernels. */
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/roofline/roofline.h"

#define CONTEXT 1000
#define PROMPT 512
#define LONG_PROMPT 4096
#define STREAMS 8 /* the most that decoding kernels take at once */
#define RESULTS_MAX 96

static roof_result *results;
static uint32_t result_count;

static roof_result *next_result(const roof_model *m, const char *type, roof_work work, uint32_t tokens)
{
    roof_result *r = &results[result_count++];
    r->work = work;
    r->tokens = tokens;
    r->model = m->name;
    r->type = type;
    r->layers = m->h.layers;
    r->context = CONTEXT;
    r->weight_bytes = (double)roof_weight_bytes(&m->h, type);
    return r;
}

static void finish(roof_result *r)
{
    roof_run(r);
    roof_report(stdout, r);
    fflush(stdout);
}

static void model_of_type(const roof_model *m, const char *type)
{
    const ash_hparams *h = &m->h;
    uint64_t cache = UINT64_C(4) * h->layers * h->kv_heads * h->head_dim * LONG_PROMPT; /* keys and values, F16 */
    if (roof_weight_bytes(h, type) + cache > ROOF_MEMORY) {
        printf("\n== %s %s: %.1f GB of weights and cache do not fit\n", m->name, type,
               (double)(roof_weight_bytes(h, type) + cache) / 1e9);
        return;
    }
    roof_result *r = next_result(m, type, ROOF_DECODE, 1);
    roof_decode(h, type, CONTEXT, &r->list);
    finish(r);
    if (strcmp(type, "fp8") == 0) { /* the one that figures are published of */
        r = next_result(m, type, ROOF_DECODE, STREAMS);
        roof_streams(h, type, STREAMS, CONTEXT, &r->list);
        finish(r);
    }
    r = next_result(m, type, ROOF_PREFILL, PROMPT);
    roof_prefill(h, type, PROMPT, &r->list);
    finish(r);
}

static void long_attention(const roof_model *m)
{
    for (int fp8 = 0; fp8 < 2; fp8++) {
        roof_result *r = next_result(m, "q4_k", ROOF_ATTENTION, LONG_PROMPT);
        r->type = fp8 ? "fp8 cache" : "f16 cache";
        r->layers = 1;
        r->weight_bytes = 0;
        roof_attention(&m->h, LONG_PROMPT, fp8, &r->list);
        roof_run(r);
    }
}

static void layers(const roof_model *m)
{
    for (uint32_t t = 0; t < roof_layer_type_count; t++)
        for (uint32_t k = 0; k < roof_layer_tokens_count; k++) {
            roof_result *r = next_result(m, roof_layer_types[t], ROOF_LAYER, roof_layer_tokens[k]);
            roof_layer(&m->h, r->type, r->tokens, CONTEXT, &r->list);
            roof_run(r);
        }
}

int main(int argc, char **argv)
{
    results = calloc(RESULTS_MAX, sizeof *results);
    if ((argc == 2 || argc == 3) && results && strcmp(argv[1], "--speed") == 0) {
        uint32_t failed = roof_speed(stdout, argc == 3 ? argv[2] : "", &results->list);
        free(results);
        return failed != 0;
    }
    if (argc < 2 || argc > 4 || !results) {
        fprintf(stderr, "usage: %s OUT.svg [MODEL [TYPE] | kernels] | --speed [PART]\n", argv[0]);
        return 2;
    }
    printf("What an %s (gfx1201) would reach, projected from instructions and bytes that the interpreter counts.\n"
           "Nothing here was measured on a card. Assumed: %.0f GB/s of memory, %.2f GHz, %.0f ns of memory latency,\n"
           "16 cycles an F16 or BF16 matrix instruction, 8 an INT8 or FP8 one, on one port with vector instructions\n"
           "(tests/gfx12/roofline/roofline.h).\n"
           "x: launches of the kind. groups: workgroups x waves. w/S: waves that a SIMD holds. MB: lines of memory,\n"
           "each once a launch, twice where it is read and written (it comes and goes); MB again: what lanes ask for\n"
           "beyond that, from caches. us, ramp us: of one launch; us in all: of all of the kind. bound: what decides,\n"
           "and its part of the launch at its peak.\n",
           ROOF_CARD, ROOF_BANDWIDTH / 1e9, ROOF_CLOCK / 1e9, ROOF_LATENCY * 1e9);
    for (uint32_t m = 0; m < roof_model_count; m++) {
        if (argc > 2 && strcmp(argv[2], roof_models[m].name) != 0)
            continue;
        for (uint32_t t = 0; t < roof_type_count; t++)
            if (argc < 4 || strcmp(argv[3], roof_types[t]) == 0)
                model_of_type(&roof_models[m], roof_types[t]);
        long_attention(&roof_models[m]);
    }
    for (uint32_t m = 0; m < roof_heads_count; m++)
        if (argc == 2 || strcmp(argv[2], roof_heads[m].name) == 0)
            long_attention(&roof_heads[m]);
    if (argc == 2 || strcmp(argv[2], "kernels") == 0) {
        layers(&roof_models[0]);
        roof_kernels(stdout, results, result_count);
    }
    roof_targets(stdout, results, result_count);
    FILE *svg = fopen(argv[1], "w");
    if (!svg) {
        fprintf(stderr, "%s cannot be written\n", argv[1]);
        return 1;
    }
    roof_svg(svg, results, result_count);
    bool failed = fclose(svg) != 0;
    printf("\npicture: %s\n", argv[1]);
    free(results);
    return failed;
}
