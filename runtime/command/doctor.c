/* The self-test: small models on the card and on the CPU, pass by pass. */
#include "runtime/command/doctor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/command/doctor_model.h"
#include "runtime/hip/card.h"
#include "runtime/session.h"

/* Passes, one after another: a prompt through the matrix units, then each size of decoding, one token and two of them twice. */
static const uint32_t passes[] = { 37, 1, 2, 4, 8, 3, 1 };
#define PASSES (sizeof passes / sizeof *passes)
enum { TOKENS_MOST = 37 };

/* Inputs of a product are rounded to 8 bits (1 / 127 of a block's largest; e4m3: 1 / 16 of a value), once a product, and a
 * prompt's weights once more: an error of 0.5% to 3% of a product's outputs, uncorrelated over the four products of two layers
 * and the output, so at most 3 times that. Beyond are wrong values: a lost tile alone is 10%. */
static double allowed(const doctor_model *m)
{
    return strcmp(m->type, "fp8") == 0 || m->cache == ASHLAR_CACHE_FP8 ? 0.09 : 0.05;
}

static ash_status feed(ashlar_session *s, const int32_t *ids, uint32_t count, ash_error *err)
{
    ashlar_error public_err;
    if (ashlar_session_feed(s, ids, count, ASHLAR_FEED_ALL_LOGITS, &public_err) != ASHLAR_OK)
        return ash_fail(err, ASH_E_IO, "%s", public_err.text);
    return ASH_OK;
}

/* Root of the mean square of the difference over that of what is right; infinite where something is not finite. */
static double distance(const ashlar_session *right, const ashlar_session *other, uint32_t count)
{
    double difference = 0, size = 0;
    for (uint32_t t = 0; t < count; t++) {
        const float *a = ashlar_session_logits(right, t), *b = ashlar_session_logits(other, t);
        for (uint32_t i = 0; i < DOCTOR_VOCAB; i++) {
            double d = (double)a[i] - (double)b[i];
            difference += d * d;
            size += (double)a[i] * (double)a[i];
        }
    }
    double off = sqrt(difference / size);
    return isfinite(off) ? off : INFINITY;
}

/* Kernels of the last pass on the card. */
static void count_kernels(doctor *d, const ashlar_session *s, bool wrong)
{
    size_t ignored;
    uint32_t count;
    const ash_gfx_kernel *all = ash_gfx_kernels(&ignored);
    const ash_card_timing *t = ash_card_timings(s->card, &count);
    for (uint32_t i = 0; i < count; i++) {
        doctor_kernel *k = &d->kernels[t[i].kernel - all];
        k->seconds = k->launches && k->seconds < t[i].seconds ? k->seconds : t[i].seconds;
        k->launches++;
        k->failed += wrong;
    }
}

static ash_status run_passes(doctor *d, const doctor_model *m, ashlar_session *cpu, ashlar_session *card, ash_error *err)
{
    static const char *const names[] = { "f16", "fp8" };
    uint32_t seed = 1;
    ash_card_profile(card->card, true);
    for (size_t p = 0; p < PASSES; p++) {
        int32_t ids[TOKENS_MOST];
        for (uint32_t i = 0; i < passes[p]; i++) {
            seed = seed * 1664525u + 1013904223u; /* Numerical Recipes */
            ids[i] = (int32_t)((seed >> 8) % DOCTOR_VOCAB);
        }
        ASH_TRY(feed(cpu, ids, passes[p], err));
        ASH_TRY(feed(card, ids, passes[p], err));
        doctor_pass *to = &d->passes[d->pass_count++];
        *to = (doctor_pass){ .tokens = passes[p], .off = distance(cpu, card, passes[p]), .allowed = allowed(m) };
        snprintf(to->model, sizeof to->model, "%s%s, heads of %u, cache %s", m->type, m->fp8_row ? " by row" : "", m->head_dim,
                 names[m->cache]);
        bool wrong = !(to->off <= to->allowed);
        d->wrong += wrong;
        count_kernels(d, card, wrong);
    }
    /* The choice, which no logits come with. */
    int32_t id = 1;
    ashlar_error public_err;
    if (ashlar_session_feed(card, &id, 1, ASHLAR_FEED_CHOOSE, &public_err) != ASHLAR_OK)
        return ash_fail(err, ASH_E_IO, "%s", public_err.text);
    count_kernels(d, card, false);
    return ASH_OK;
}

static ash_status run_model(doctor *d, const doctor_model *m, int index, const char *folder, ash_error *err)
{
    char device[32];
    ashlar_model *model;
    ashlar_session *cpu = NULL, *card = NULL;
    ashlar_error public_err;
    ASH_TRY(doctor_model_open(m, folder, &model, err));
    snprintf(device, sizeof device, "hip:%d", index);
    ashlar_session_options options = { .context = DOCTOR_CONTEXT, .cache = m->cache, .activations = ASHLAR_ACT_FLOAT };
    ash_status status = ASH_OK;
    if (ashlar_session_new(model, &options, &cpu, &public_err) != ASHLAR_OK)
        status = ash_fail(err, ASH_E_IO, "%s", public_err.text);
    options.device = device;
    if (status == ASH_OK && ashlar_session_new(model, &options, &card, &public_err) != ASHLAR_OK)
        status = ash_fail(err, ASH_E_IO, "%s", public_err.text);
    if (status == ASH_OK)
        status = run_passes(d, m, cpu, card, err);
    if (ashlar_card_hangs()) /* nothing may be freed */
        return status;
    ashlar_session_free(cpu);
    ashlar_session_free(card);
    ashlar_model_free(model);
    return status;
}

ash_status doctor_run(doctor *d, int index, const char *folder, ash_error *err)
{
    size_t count;
    const doctor_model *models = doctor_models(&count);
    *d = (doctor){ 0 };
    ash_gfx_kernels(&d->kernel_count);
    d->kernels = calloc(d->kernel_count, sizeof *d->kernels);
    d->passes = calloc(count * PASSES, sizeof *d->passes);
    if (!d->kernels || !d->passes)
        return ash_fail(err, ASH_E_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        ASH_TRY(run_model(d, &models[i], index, folder, err));
    return ASH_OK;
}

void doctor_free(doctor *d)
{
    free(d->kernels);
    free(d->passes);
    *d = (doctor){ 0 };
}
