/* Choosing the next token. Penalty, temperature, top-k, top-p, min-p, in this order.
 * Logits are copied first; NaN counts as the lowest value, infinities as the largest finite one, so every step below
 * deals with finite numbers and an id is always one of the vocabulary's. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/api.h"

typedef struct candidate {
    float logit;
    int32_t id;
} candidate;

struct ashlar_sampler {
    ashlar_sampler_options options;
    uint32_t vocab;
    uint64_t random[4];
    float *logits;         /* vocab, rounded up to a block */
    float *block_max;      /* of each BLOCK logits: whole blocks are passed over */
    candidate *candidates; /* vocab */
    double *weights;       /* vocab */
    int32_t *recent;       /* the last repeat_window ids, a ring */
    uint32_t recent_count, recent_next;
};

#define BLOCK 16

/* ---- random numbers: xoshiro256**, seeded by splitmix64 (Blackman and Vigna) ---- */

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static double next_uniform(uint64_t s[4]) /* [0, 1), 53 bits */
{
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return (double)(result >> 11) * 0x1p-53;
}

/* ---- order: higher logit first, then lower id ---- */

static inline bool before(candidate a, candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Restores the heap below `at`. `lowest_first`: the root is what comes last in order, else what comes first. */
static void sift(candidate *heap, size_t count, size_t at, bool lowest_first)
{
    candidate moving = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && before(heap[child + 1], heap[child]) != lowest_first)
            child++;
        if (before(heap[child], moving) == lowest_first)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static void heapify(candidate *heap, size_t count, bool lowest_first)
{
    for (size_t i = count / 2; i-- > 0;)
        sift(heap, count, i, lowest_first);
}

/* ---- steps ---- */

static float usable(float x)
{
    x = x > -FLT_MAX ? x : -FLT_MAX; /* false for NaN */
    return x < FLT_MAX ? x : FLT_MAX;
}

static void take_logits(ashlar_sampler *s, const float *logits)
{
    for (uint32_t i = 0; i < s->vocab; i++)
        s->logits[i] = usable(logits[i]);
    float penalty = s->options.repeat_penalty;
    if (penalty != 1) {
        for (uint32_t i = 0; i < s->recent_count; i++) { /* from the original: a token that occurs twice pays once */
            float x = usable(logits[s->recent[i]]);
            s->logits[s->recent[i]] = usable(x > 0 ? x / penalty : x * penalty);
        }
    }
    for (uint32_t b = 0; b * BLOCK < s->vocab; b++) {
        const float *x = s->logits + (size_t)b * BLOCK;
        float m[4] = { x[0], x[1], x[2], x[3] };
        for (int i = 4; i < BLOCK; i += 4)
            for (int j = 0; j < 4; j++)
                m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
        float a = m[0] > m[1] ? m[0] : m[1], c = m[2] > m[3] ? m[2] : m[3];
        s->block_max[b] = a > c ? a : c;
    }
}

static int32_t most_likely(const ashlar_sampler *s)
{
    uint32_t best = 0;
    for (uint32_t b = 1; b * BLOCK < s->vocab; b++)
        if (s->block_max[b] > s->block_max[best])
            best = b;
    uint32_t id = best * BLOCK;
    while (s->logits[id] != s->block_max[best])
        id++;
    return (int32_t)id;
}

/* The k first in order, sorted, without sorting the rest: a heap of the best so far, its worst at the root. */
static size_t select_top(ashlar_sampler *s, size_t k)
{
    candidate *c = s->candidates;
    for (size_t i = 0; i < k; i++)
        c[i] = (candidate){ s->logits[i], (int32_t)i };
    heapify(c, k, true);
    for (size_t i = k; i < s->vocab;) {
        if (i % BLOCK == 0 && s->block_max[i / BLOCK] <= c[0].logit) { /* an equal logit with a higher id comes later */
            i += BLOCK;
            continue;
        }
        if (s->logits[i] > c[0].logit) {
            c[0] = (candidate){ s->logits[i], (int32_t)i };
            sift(c, k, 0, true);
        }
        i++;
    }
    for (size_t n = k; n > 1; n--) { /* the worst goes to the end */
        candidate last = c[0];
        c[0] = c[n - 1];
        sift(c, n - 1, 0, true);
        c[n - 1] = last;
    }
    return k;
}

/* Draws among weights[0 .. count), whose sum is total. */
static size_t draw(ashlar_sampler *s, size_t count, double total)
{
    double left = next_uniform(s->random) * total;
    for (size_t i = 0; i + 1 < count; i++) {
        left -= s->weights[i];
        if (left < 0)
            return i;
    }
    while (count > 1 && s->weights[count - 1] == 0) /* rounding must not reach a token of weight 0 */
        count--;
    return count - 1;
}

/* Among the first `count` candidates, the largest of whose logits is `max`; `sorted`: in order. */
static int32_t choose(ashlar_sampler *s, size_t count, double max, bool sorted)
{
    const ashlar_sampler_options *o = &s->options;
    double scale = 1 / (double)o->temperature;
    double total = 0; /* weights are relative to the most likely token's, which is 1 */
    for (size_t i = 0; i < count; i++)
        total += s->weights[i] = exp((s->candidates[i].logit - max) * scale);
    if (o->top_p >= 1 && o->min_p <= 0)
        return s->candidates[draw(s, count, total)].id;

    /* In order of probability, as far as top-p and min-p reach; a heap gives that order without a full sort. */
    candidate *heap = s->candidates;
    if (!sorted)
        heapify(heap, count, false);
    double sum = 0, limit = o->top_p < 1 ? o->top_p * total : INFINITY;
    size_t kept = 0;
    while (kept < count) {
        candidate c = sorted ? heap[kept] : heap[0];
        double w = exp((c.logit - max) * scale);
        if (kept > 0 && (sum >= limit || w < o->min_p))
            break;
        if (!sorted) { /* what leaves the heap lies behind it, the first taken last */
            size_t left = count - kept;
            heap[0] = heap[left - 1];
            heap[left - 1] = c;
            if (left > 1)
                sift(heap, left - 1, 0, false);
        }
        s->weights[kept++] = w;
        sum += w;
    }
    size_t i = draw(s, kept, sum);
    return sorted ? heap[i].id : heap[count - 1 - i].id;
}

int32_t ashlar_sampler_next(ashlar_sampler *s, const float *logits)
{
    const ashlar_sampler_options *o = &s->options;
    take_logits(s, logits);
    int32_t best = most_likely(s);
    if (o->temperature == 0 || o->top_k == 1)
        return best;
    double max = s->logits[best];
    if (o->top_k != 0 && o->top_k < s->vocab)
        return choose(s, select_top(s, o->top_k), max, true);
    for (uint32_t i = 0; i < s->vocab; i++)
        s->candidates[i] = (candidate){ s->logits[i], (int32_t)i };
    return choose(s, s->vocab, max, false);
}

/* ---- from the largest logits alone ---- */

uint32_t ashlar_sampler_top(const ashlar_sampler *s)
{
    const ashlar_sampler_options *o = &s->options;
    if (o->repeat_penalty != 1)
        return 0;
    return o->temperature == 0 ? 1 : o->top_k < s->vocab ? o->top_k : 0;
}

int32_t ashlar_sampler_next_of(ashlar_sampler *s, const int32_t *ids, const float *logits, size_t count)
{
    size_t k = ashlar_sampler_top(s);
    k = k < count ? k : count;
    if (k == 1)
        return ids[0];
    for (size_t i = 0; i < k; i++)
        s->candidates[i] = (candidate){ usable(logits[i]), ids[i] };
    return choose(s, k, s->candidates[0].logit, true);
}

/* ---- life ---- */

ashlar_sampler_options ashlar_sampler_defaults(void)
{
    return (ashlar_sampler_options){ .temperature = 0.7f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f,
                                     .repeat_penalty = 1.0f, .repeat_window = 64, .seed = 0 };
}

void ashlar_sampler_reset(ashlar_sampler *s)
{
    uint64_t state = s->options.seed;
    for (int i = 0; i < 4; i++)
        s->random[i] = splitmix(&state);
    s->recent_count = s->recent_next = 0;
}

void ashlar_sampler_free(ashlar_sampler *s)
{
    if (!s)
        return;
    free(s->logits);
    free(s->block_max);
    free(s->candidates);
    free(s->weights);
    free(s->recent);
    free(s);
}

void ashlar_sampler_accept(ashlar_sampler *s, int32_t id)
{
    if (id < 0 || (uint32_t)id >= s->vocab || s->options.repeat_window == 0)
        return;
    s->recent[s->recent_next] = id;
    s->recent_next = (s->recent_next + 1) % s->options.repeat_window;
    if (s->recent_count < s->options.repeat_window)
        s->recent_count++;
}

static ash_status check(const ashlar_sampler_options *o, uint32_t vocab, ash_error *err)
{
    if (vocab == 0 || vocab > INT32_MAX)
        return ash_fail(err, ASH_E_ARGUMENT, "a sampler for %u tokens: 1 to 2147483647 are possible", vocab);
    if (!(o->temperature >= 0) || !isfinite(o->temperature))
        return ash_fail(err, ASH_E_ARGUMENT, "temperature %g: give 0 (the most likely token) or more",
                        (double)o->temperature);
    if (!(o->top_p >= 0 && o->top_p <= 1))
        return ash_fail(err, ASH_E_ARGUMENT, "top-p %g: give a number from 0 (the likeliest token alone) to 1 (off)", (double)o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1))
        return ash_fail(err, ASH_E_ARGUMENT, "min-p %g: give a number from 0 (off) to 1", (double)o->min_p);
    if (!(o->repeat_penalty > 0) || !isfinite(o->repeat_penalty))
        return ash_fail(err, ASH_E_ARGUMENT, "repetition penalty %g: give a number above 0; 1 is off",
                        (double)o->repeat_penalty);
    if (o->repeat_window > 65536)
        return ash_fail(err, ASH_E_ARGUMENT, "repetition window %u: at most 65536", o->repeat_window);
    return ASH_OK;
}

int ashlar_sampler_new(const ashlar_sampler_options *options, uint32_t vocab, ashlar_sampler **out, ashlar_error *err)
{
    ash_error local;
    ashlar_sampler_options o = options ? *options : ashlar_sampler_defaults();
    *out = NULL;
    if (check(&o, vocab, &local) != ASH_OK)
        return ash_public_error(&local, err);
    ashlar_sampler *s = calloc(1, sizeof *s);
    size_t blocks = (size_t)(vocab - 1) / BLOCK + 1;
    if (s) {
        s->options = o;
        s->vocab = vocab;
        s->logits = malloc(sizeof *s->logits * blocks * BLOCK);
        s->block_max = malloc(sizeof *s->block_max * blocks);
        s->candidates = malloc(sizeof *s->candidates * vocab);
        s->weights = malloc(sizeof *s->weights * vocab);
        s->recent = malloc(sizeof *s->recent * (o.repeat_window + 1));
    }
    if (!s || !s->logits || !s->block_max || !s->candidates || !s->weights || !s->recent) {
        ashlar_sampler_free(s);
        ash_fail(&local, ASH_E_MEMORY, "out of memory for a sampler of %u tokens", vocab);
        return ash_public_error(&local, err);
    }
    for (size_t i = vocab; i < blocks * BLOCK; i++)
        s->logits[i] = -FLT_MAX;
    ashlar_sampler_reset(s);
    *out = s;
    return ASHLAR_OK;
}
