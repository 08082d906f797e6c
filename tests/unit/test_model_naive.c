/* The forward pass against a plain one in double precision that reads the Hugging Face source itself: row-major
 * weights, rotation of halves as transformers does it, no cache. Odd sizes, biases, head norms, tied output, every
 * rotation scaling, sliding windows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "format/safetensors.h"
#include "runtime/model.h"
#include "tests/support/make_hf.h"

#define TOKENS 24

typedef struct source {
    ash_safetensors *st;
    const make_spec *spec;
    uint32_t window;
    double frequency[128], magnitude; /* of each pair */
} source;

/* A tensor as doubles; NULL where the source has none. */
static double *values(const source *s, const char *format, int layer)
{
    char name[128];
    snprintf(name, sizeof name, format, layer);
    const ash_st_tensor *t = ash_safetensors_find(s->st, name);
    if (!t)
        return NULL;
    assert_int_equal(t->dtype, ASH_F32);
    size_t n = t->size / 4;
    float *raw = malloc(t->size);
    double *out = malloc(n * sizeof *out);
    ash_error err;
    assert_ok(ash_safetensors_read(s->st, t, 0, raw, t->size, &err), &err);
    for (size_t i = 0; i < n; i++)
        out[i] = raw[i];
    free(raw);
    return out;
}

/* y = W x (+ bias); frees w and bias. */
static void product(double *w, double *bias, const double *x, uint32_t rows, uint32_t cols, double *y)
{
    assert_non_null(w);
    for (uint32_t r = 0; r < rows; r++) {
        double sum = bias ? bias[r] : 0;
        for (uint32_t c = 0; c < cols; c++)
            sum += w[(size_t)r * cols + c] * x[c];
        y[r] = sum;
    }
    free(w);
    free(bias);
}

static void norm(const double *w, const double *x, uint32_t n, double *y)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    double scale = 1 / sqrt(sum / n + 1e-5);
    for (uint32_t i = 0; i < n; i++)
        y[i] = x[i] * scale * w[i];
}

/* transformers: the first half of a head is the real parts, the second the imaginary ones. */
static void rotate(const source *s, double *head, uint32_t dim, uint32_t position)
{
    for (uint32_t i = 0; i < dim / 2; i++) {
        double angle = position * s->frequency[i], c = cos(angle) * s->magnitude, d = sin(angle) * s->magnitude;
        double a = head[i], b = head[i + dim / 2];
        head[i] = a * c - b * d;
        head[i + dim / 2] = b * c + a * d;
    }
}

/* Logits of every token, [TOKENS][vocab]. */
static void run(const source *s, const int32_t *ids, double *logits)
{
    const make_spec *m = s->spec;
    uint32_t hidden = m->hidden, dim = m->head_dim, q_rows = m->heads * dim, kv_rows = m->kv_heads * dim;
    double *embed = values(s, "model.embed_tokens.weight", 0);
    double *x = malloc(TOKENS * hidden * sizeof *x), *n = malloc(hidden * sizeof *n);
    double *q = malloc(TOKENS * q_rows * sizeof *q), *k = malloc(TOKENS * kv_rows * sizeof *k);
    double *v = malloc(TOKENS * kv_rows * sizeof *v), *a = malloc(q_rows * sizeof *a);
    double *g = malloc(m->ffn * sizeof *g), *u = malloc(m->ffn * sizeof *u), *y = malloc(hidden * sizeof *y);
    for (int t = 0; t < TOKENS; t++)
        memcpy(x + t * hidden, embed + (size_t)ids[t] * hidden, hidden * sizeof *x);
    for (int l = 0; l < (int)m->layers; l++) {
        double *attn_norm = values(s, "model.layers.%d.input_layernorm.weight", l);
        double *ffn_norm = values(s, "model.layers.%d.post_attention_layernorm.weight", l);
        double *q_norm = values(s, "model.layers.%d.self_attn.q_norm.weight", l);
        double *k_norm = values(s, "model.layers.%d.self_attn.k_norm.weight", l);
        for (int t = 0; t < TOKENS; t++) {
            double *qt = q + t * q_rows, *kt = k + t * kv_rows;
            norm(attn_norm, x + t * hidden, hidden, n);
            product(values(s, "model.layers.%d.self_attn.q_proj.weight", l),
                    values(s, "model.layers.%d.self_attn.q_proj.bias", l), n, q_rows, hidden, qt);
            product(values(s, "model.layers.%d.self_attn.k_proj.weight", l),
                    values(s, "model.layers.%d.self_attn.k_proj.bias", l), n, kv_rows, hidden, kt);
            product(values(s, "model.layers.%d.self_attn.v_proj.weight", l),
                    values(s, "model.layers.%d.self_attn.v_proj.bias", l), n, kv_rows, hidden, v + t * kv_rows);
            for (uint32_t h = 0; h < m->heads + m->kv_heads; h++) {
                double *head = h < m->heads ? qt + h * dim : kt + (h - m->heads) * dim;
                double *w = h < m->heads ? q_norm : k_norm;
                if (w)
                    norm(w, head, dim, head);
                rotate(s, head, dim, (uint32_t)t);
            }
        }
        for (int t = 0; t < TOKENS; t++) {
            for (uint32_t h = 0; h < m->heads; h++) {
                uint32_t kv = h / (m->heads / m->kv_heads) * dim;
                int from = s->window && t >= (int)s->window ? t - (int)s->window + 1 : 0;
                double p[TOKENS], total = 0;
                for (int j = from; j <= t; j++) {
                    double dot = 0;
                    for (uint32_t i = 0; i < dim; i++)
                        dot += q[t * q_rows + h * dim + i] * k[j * kv_rows + kv + i];
                    total += p[j] = exp(dot / sqrt(dim));
                }
                for (uint32_t i = 0; i < dim; i++) {
                    double sum = 0;
                    for (int j = from; j <= t; j++)
                        sum += p[j] / total * v[j * kv_rows + kv + i];
                    a[h * dim + i] = sum;
                }
            }
            double *xt = x + t * hidden;
            product(values(s, "model.layers.%d.self_attn.o_proj.weight", l), NULL, a, hidden, q_rows, y);
            for (uint32_t i = 0; i < hidden; i++)
                xt[i] += y[i];
            norm(ffn_norm, xt, hidden, n);
            product(values(s, "model.layers.%d.mlp.gate_proj.weight", l), NULL, n, m->ffn, hidden, g);
            product(values(s, "model.layers.%d.mlp.up_proj.weight", l), NULL, n, m->ffn, hidden, u);
            for (uint32_t i = 0; i < m->ffn; i++)
                g[i] = g[i] / (1 + exp(-g[i])) * u[i];
            product(values(s, "model.layers.%d.mlp.down_proj.weight", l), NULL, g, hidden, m->ffn, y);
            for (uint32_t i = 0; i < hidden; i++)
                xt[i] += y[i];
        }
        free(attn_norm);
        free(ffn_norm);
        free(q_norm);
        free(k_norm);
    }
    double *last = values(s, "model.norm.weight", 0);
    for (int t = 0; t < TOKENS; t++) {
        norm(last, x + t * hidden, hidden, n);
        product(values(s, m->tied ? "model.embed_tokens.weight" : "lm_head.weight", 0), NULL, n, m->vocab, hidden,
                logits + (size_t)t * m->vocab);
    }
    double *all[] = { embed, x, n, q, k, v, a, g, u, y, last };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* The model through convert and runtime, by one feed and by pieces, at the machine's level and in scalar code.
 * Tolerance: keys and values are rounded to F16, 2^-11 of each; products of float, 1e-4; of the largest logit. */
static void check(const make_spec *spec, uint32_t window, const double *frequency, double magnitude)
{
    source s = { .spec = spec, .window = window, .magnitude = magnitude };
    for (uint32_t i = 0; i < spec->head_dim / 2; i++)
        s.frequency[i] = frequency ? frequency[i] : pow(10000, -2.0 * i / spec->head_dim);
    char *folder = make_hf("naive", spec), *path = test_path("naive.ashlar");
    ash_error err;
    assert_ok(ash_safetensors_open(folder, &s.st, &err), &err);
    ash_convert_options options = { .type = ASH_TYPE_KEEP, .force = true };
    ash_convert_result result;
    assert_ok(ash_convert(folder, path, &options, &result, &err), &err);
    ashlar_model *model;
    ashlar_error perr;
    if (ashlar_model_load(path, &model, &perr) != 0)
        fail_msg("%s", perr.text);
    if (window)
        model->meta.h.sliding_window = window;

    int32_t ids[TOKENS];
    test_rng rng = test_rng_start("naive");
    for (int i = 0; i < TOKENS; i++)
        ids[i] = (int32_t)test_rng_below(&rng, spec->vocab);
    double *wanted = malloc((size_t)TOKENS * spec->vocab * sizeof *wanted), worst = 0;
    run(&s, ids, wanted);
    for (int round = 0; round < 4; round++) {
        ashlar_session_options o = { .threads = 1 + (uint32_t)round % 3, .cpu_level = round < 2 ? 0 : 1 };
        ashlar_session *session;
        if (ashlar_session_new(model, &o, &session, &perr) != 0)
            fail_msg("%s", perr.text);
        for (int at = 0; at < TOKENS;) {
            int n = round % 2 ? (at < 5 ? 1 : 7) : TOKENS;
            n = n < TOKENS - at ? n : TOKENS - at;
            if (ashlar_session_feed(session, ids + at, (size_t)n, ASHLAR_FEED_ALL_LOGITS, &perr) != 0)
                fail_msg("%s", perr.text);
            for (int t = 0; t < n; t++) {
                const float *got = ashlar_session_logits(session, (size_t)t);
                const double *want = wanted + (size_t)(at + t) * spec->vocab;
                double largest = 0, off = 0;
                for (uint32_t i = 0; i < spec->vocab; i++) {
                    largest = fmax(largest, fabs(want[i]));
                    off = fmax(off, isfinite(got[i]) ? fabs(want[i] - got[i]) : INFINITY);
                }
                worst = fmax(worst, off / largest);
            }
            at += n;
        }
        ashlar_session_free(session);
    }
    if (!(worst < 2e-3))
        fail_msg("logits are off by %g of the largest", worst);
    free(wanted);
    ashlar_model_free(model);
    ash_safetensors_close(s.st);
    free(folder);
    free(path);
}

static make_spec odd_sizes(const char *architecture)
{
    make_spec spec = make_defaults();
    spec.architecture = architecture;
    spec.dtype = ASH_F32;
    spec.hidden = 104; /* no multiple of 16 or 64 */
    spec.heads = 6;
    spec.kv_heads = 2;
    spec.head_dim = 36; /* 72 rows of k: not whole panels */
    spec.ffn = 200;
    spec.vocab = 301;
    return spec;
}

static void test_architectures(void **state)
{
    (void)state;
    static const char *const names[] = { "llama", "qwen2", "qwen3" };
    for (int i = 0; i < 3; i++)
        for (int tied = 0; tied < 2; tied++) {
            make_spec spec = odd_sizes(names[i]);
            spec.tied = tied;
            check(&spec, 0, NULL, 1);
        }
    make_spec even = make_defaults();
    even.dtype = ASH_F32;
    check(&even, 0, NULL, 1);
}

static void test_sliding_window(void **state)
{
    (void)state;
    make_spec spec = odd_sizes("llama");
    check(&spec, 1, NULL, 1);
    check(&spec, 7, NULL, 1);
    check(&spec, TOKENS, NULL, 1);
}

#define TWO_PI 6.283185307179586

static void test_rotation_scalings(void **state)
{
    (void)state;
    make_spec spec = odd_sizes("llama");
    spec.old_config = true;
    double f[128] = { 0 };
    uint32_t dim = spec.head_dim;

    spec.config_extra = "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}";
    for (uint32_t i = 0; i < dim / 2; i++)
        f[i] = pow(10000, -2.0 * i / dim) / 4;
    check(&spec, 0, f, 1);

    /* Llama 3.1: by wavelength against the original context of 64: under 16 kept, over 64 divided, between mixed. */
    spec.config_extra = "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
                        "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}";
    for (uint32_t i = 0; i < dim / 2; i++) {
        double base = pow(10000, -2.0 * i / dim), wave = TWO_PI / base;
        double smooth = (64 / wave - 1) / 3;
        f[i] = wave < 16 ? base : wave > 64 ? base / 8 : (1 - smooth) * base / 8 + smooth * base;
    }
    check(&spec, 0, f, 1);

    /* YaRN, original context 64, factor 4: pairs below `low` keep, above `high` are divided; cos and sin times
     * 0.1 ln 4 + 1. */
    spec.config_extra = "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": 8.0, "
                        "\"beta_slow\": 1.0, \"original_max_position_embeddings\": 64}";
    double low = floor(dim * log(64 / (8 * TWO_PI)) / (2 * log(10000)));
    double high = ceil(dim * log(64 / (1 * TWO_PI)) / (2 * log(10000)));
    for (uint32_t i = 0; i < dim / 2; i++) {
        double base = pow(10000, -2.0 * i / dim), ramp = fmin(fmax((i - low) / (high - low), 0), 1);
        f[i] = base / 4 * ramp + base * (1 - ramp);
    }
    check(&spec, 0, f, 0.1 * log(4) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_architectures),
        cmocka_unit_test(test_sliding_window),
        cmocka_unit_test(test_rotation_scalings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
