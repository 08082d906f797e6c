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

/* Twice what correct code shows at these shapes. The inputs of nine products in a row are rounded: to F16 with an error of
 * 0.03% a product (F32: the cache alone), BF16 0.2%, 8 bits 0.5% and a prompt's weights once more, e4m3 3%, a
 * prompt with other scales than the CPU's; keys and values in e4m3 are that far off too. A tile of 16 rows that is wrong in one product of 640 is 15%. */
static double allowed(const doctor_model *m)
{
    double inputs = strcmp(m->type, "f16") == 0 || strcmp(m->type, "f32") == 0 ? 0.0014
                    : strcmp(m->type, "bf16") == 0 ? 0.011
                    : strcmp(m->type, "fp8") == 0  ? 0.16
                                                   : 0.045;
    return inputs + (m->cache == ASHLAR_CACHE_FP8 ? 0.04 : 0);
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
static void count_kernels(doctor *d, const ash_card *card, bool wrong)
{
    size_t ignored;
    uint32_t count;
    const ash_gfx_kernel *all = ash_gfx_kernels(&ignored);
    const ash_card_timing *t = ash_card_timings(card, &count);
    for (uint32_t i = 0; i < count; i++) {
        doctor_kernel *k = &d->kernels[t[i].kernel - all];
        k->seconds = k->launches && k->seconds < t[i].seconds ? k->seconds : t[i].seconds;
        k->launches++;
        k->failed += wrong;
    }
}

static void ignore(void *context, const ash_profile_record *record)
{
    (void)context, (void)record;
}

static ash_status run_passes(doctor *d, const doctor_model *m, ashlar_session *cpu, ashlar_session *card, ash_error *err)
{
    static const char *const names[] = { "f16", "fp8" };
    uint32_t seed = 1;
    card->profile = (ash_profile){ ignore, NULL }; /* launches are timed while somebody listens */
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
        count_kernels(d, card->card, wrong);
    }
    /* The choice, which no logits come with. */
    int32_t id = 1;
    ashlar_error public_err;
    if (ashlar_session_feed(card, &id, 1, ASHLAR_FEED_CHOOSE, &public_err) != ASHLAR_OK)
        return ash_fail(err, ASH_E_IO, "%s", public_err.text);
    count_kernels(d, card->card, false);
    return ASH_OK;
}

/* Logits from 0 to 4 in an order without pattern, two of them equal. */
static void make_logits(float logits[DOCTOR_VOCAB])
{
    for (uint32_t i = 0; i < DOCTOR_VOCAB; i++)
        logits[i] = (float)(i * 389 % DOCTOR_VOCAB) * (4.0f / DOCTOR_VOCAB);
    logits[7] = logits[3];
}

static ash_status try_sampling(doctor *d, ash_card *card, ash_error *err)
{
    enum { K = 40 };
    float logits[DOCTOR_VOCAB], values[DOCTOR_VOCAB];
    int32_t ids[K];
    make_logits(logits);
    doctor_pass *to = &d->passes[d->pass_count++];
    *to = (doctor_pass){ .model = "top-k", .tokens = 1 }; /* exact */
    ASH_TRY(ash_card_sample(card, ASH_GFX_OP_TOP_K, logits, DOCTOR_VOCAB, K, 1, values, ids, err));
    for (uint32_t i = 0; i < K; i++) {
        uint32_t before = 0, id = (uint32_t)ids[i]; /* logits that come before it */
        for (uint32_t j = 0; id < DOCTOR_VOCAB && j < DOCTOR_VOCAB; j++)
            before += logits[j] > logits[id] || (logits[j] == logits[id] && j < id);
        if (id >= DOCTOR_VOCAB || before != i || values[i] != logits[id])
            to->off = INFINITY;
    }
    d->wrong += to->off > 0;
    count_kernels(d, card, to->off > 0);
    to = &d->passes[d->pass_count++];
    *to = (doctor_pass){ .model = "softmax", .tokens = 1, .allowed = 0x1p-16 }; /* 1,000 additions and an exponential */
    ASH_TRY(ash_card_sample(card, ASH_GFX_OP_SOFTMAX, logits, DOCTOR_VOCAB, 1, 0.5f, values, ids, err));
    double sum = 0;
    for (uint32_t i = 0; i < DOCTOR_VOCAB; i++)
        sum += exp((double)logits[i] / 0.5);
    for (uint32_t i = 0; i < DOCTOR_VOCAB; i++) {
        double off = fabs((double)values[i] / (exp((double)logits[i] / 0.5) / sum) - 1);
        to->off = off <= to->off ? to->off : isfinite(off) ? off : INFINITY;
    }
    d->wrong += to->off > to->allowed;
    count_kernels(d, card, to->off > to->allowed);
    return ASH_OK;
}

static ash_status run_model(doctor *d, const doctor_model *m, bool sampling, int index, const char *folder, ash_error *err)
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
    if (status == ASH_OK && sampling)
        status = try_sampling(d, card->card, err);
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
    d->passes = calloc(count * PASSES + 2, sizeof *d->passes);
    if (!d->kernels || !d->passes)
        return ash_fail(err, ASH_E_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        ASH_TRY(run_model(d, &models[i], i == 0, index, folder, err));
    return ASH_OK;
}

void doctor_free(doctor *d)
{
    free(d->kernels);
    free(d->passes);
    *d = (doctor){ 0 };
}
