#include "quant/descent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/halffloat.h"

#define N ASH_KBLOCK_ELEMS
#define SWEEPS 4 /* 1, 2 and 4 take 6%, 7% and 9% off the error; each costs a tenth of a short calibration */

/* ---- the form ---- */

/* The sub-block's square of f->g, inverted and factorized. */
static int init_sub(ash_block_form *f, const ash_blas *blas, int first, int n, double *a)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            a[i * n + j] = (double)f->g[first + i][first + j];
    if (ash_blas_cholesky(blas, n, a) != 0 || ash_blas_invert(blas, n, a) != 0)
        return 1;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            f->inverse[first + i][j] = (float)(i < j ? a[i * n + j] : a[j * n + i]);
    if (ash_blas_cholesky(blas, n, a) != 0)
        return 1;
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++)
            f->upper[first + i][j] = (float)a[i * n + j];
    return 0;
}

ash_status ash_block_form_init(ash_block_form *f, const ash_blas *blas, const float *upper, int64_t stride, int count,
                               int sub_elems, ash_error *err)
{
    double *a = calloc((size_t)count * (size_t)count, sizeof *a);
    if (!a)
        return ash_fail(err, ASH_E_MEMORY, "out of memory");
    memset(f, 0, sizeof *f);
    f->count = count;
    f->sub_elems = sub_elems;
    for (int i = 0; i < count; i++)
        for (int j = i; j < count; j++)
            a[i * count + j] = (double)upper[i * stride + j];
    int failed = ash_blas_invert(blas, count, a);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            f->g[i][j] = (float)(i < j ? a[i * count + j] : a[j * count + i]);
    for (int first = 0; first < count && !failed; first += sub_elems)
        failed = init_sub(f, blas, first, count - first < sub_elems ? count - first : sub_elems, a);
    free(a);
    return failed ? ash_fail(err, ASH_E_UNSUPPORTED, "the moments of the inputs cannot be factorized") : ASH_OK;
}

/* ---- a block at work ---- */

typedef struct state {
    float e[N]; /* x - q */
    float g[N]; /* e G */
} state;

static inline void take(state *s, const ash_block_form *f, int j, float step)
{
    const float *restrict row = f->g[j];
    float *restrict g = s->g;
    s->e[j] -= step;
    for (int k = 0; k < N; k++)
        g[k] -= step * row[k];
}

static void start(state *s, const ash_block_form *f, const float *x, const ash_kblock *b)
{
    *s = (state){ 0 };
    for (int j = 0; j < f->count; j++) {
        float e = x[j] - ash_kblock_value(b, j / f->sub_elems, b->code[j]);
        take(s, f, j, -e);
    }
}

/* ---- one sub-block, given the others ---- */

typedef struct trial {
    int8_t code[ASH_SUB_MAX];
    float value[ASH_SUB_MAX];
} trial;

/* Codes for the weights `x` on a grid, by feedback; what they lose, or anything from `most` on. */
static float round_sub(const ash_block_form *f, const ash_kblock *b, int first, int n, int sc, int mn, const float *ideal,
                       float most, trial *out)
{
    float x[ASH_SUB_MAX], sum = 0;
    float scale = b->d * (float)sc, min = b->dmin * (float)mn, inverse = ash_kblock_reciprocal(scale);
    float low = (float)b->low, high = (float)b->high;
    memcpy(x, ideal, sizeof x);
    for (int j = 0; j < n && sum < most; j++) {
        const float *restrict row = f->upper[first + j];
        float code = (x[j] + min) * inverse;
        code = code > low ? code : low;
        code = rintf(code < high ? code : high);
        out->code[j] = (int8_t)code;
        out->value[j] = scale * code - min;
        float e = (x[j] - out->value[j]) / row[j];
        sum += e * e;
        for (int k = j + 1; k < ASH_SUB_MAX; k++)
            x[k] -= e * row[k];
    }
    return sum;
}

static void improve_sub(state *s, const ash_block_form *f, ash_kblock *b, int sub)
{
    int first = sub * f->sub_elems, n = f->count - first < f->sub_elems ? f->count - first : f->sub_elems;
    int sc = b->sc[sub], mn = b->mn[sub], best_sc = sc, best_mn = mn;
    float now[ASH_SUB_MAX], ideal[ASH_SUB_MAX] = { 0 }, best = 0;
    trial t, found;
    bool any = false;
    for (int j = 0; j < n; j++) {
        now[j] = b->d * (float)sc * (float)b->code[first + j] - b->dmin * (float)mn;
        float shift = 0;
        for (int k = 0; k < n; k++)
            shift += s->g[first + k] * f->inverse[first + j][k];
        ideal[j] = now[j] + shift;
        best += shift * s->g[first + j];
    }
    best *= 0.9999f; /* no change that rounding alone explains */
    for (int i = sc - 1; i <= sc + 1; i++)
        for (int m = mn - 1; m <= mn + 1; m++) {
            if (i < b->sc_low || i > b->sc_high || m < 0 || m > b->mn_high)
                continue;
            float sum = round_sub(f, b, first, n, i, m, ideal, best, &t);
            if (sum < best)
                best = sum, best_sc = i, best_mn = m, found = t, any = true;
        }
    if (!any)
        return;
    b->sc[sub] = best_sc;
    b->mn[sub] = best_mn;
    for (int j = 0; j < n; j++) {
        b->code[first + j] = found.code[j];
        if (found.value[j] != now[j])
            take(s, f, first + j, found.value[j] - now[j]);
    }
}

/* ---- d and dmin ---- */

static double dot(const float *a, const float *b)
{
    double sum = 0;
    for (int j = 0; j < N; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

static void times_form(const ash_block_form *f, const float *v, float *restrict out)
{
    memset(out, 0, N * sizeof *out);
    for (int j = 0; j < f->count; j++) {
        const float *restrict row = f->g[j];
        float x = v[j];
        if (x != 0)
            for (int k = 0; k < N; k++)
                out[k] += x * row[k];
    }
}

static void improve_halves(state *s, const ash_block_form *f, ash_kblock *b)
{
    float a[N] = { 0 }, c[N] = { 0 }, ag[N], cg[N];
    for (int j = 0; j < f->count; j++) {
        int sub = j / f->sub_elems;
        a[j] = (float)(b->sc[sub] * b->code[j]);
        c[j] = (float)-b->mn[sub];
    }
    times_form(f, a, ag);
    times_form(f, c, cg);
    double aa = dot(a, ag), ac = dot(a, cg), cc = dot(c, cg), ae = dot(a, s->g), ce = dot(c, s->g);
    double det = aa * cc - ac * ac, step_d = 0, step_min = 0;
    if (det > 1e-6 * aa * cc)
        step_d = (ae * cc - ce * ac) / det, step_min = (ce * aa - ae * ac) / det;
    if (step_min == 0 || (double)b->dmin + step_min < 0) {
        step_min = 0;
        step_d = aa > 0 ? ae / aa : 0;
    }
    float d = ash_f16_to_f32(ash_f32_to_f16((float)((double)b->d + step_d)));
    float dmin = ash_f16_to_f32(ash_f32_to_f16((float)((double)b->dmin + step_min)));
    step_d = (double)d - (double)b->d;
    step_min = (double)dmin - (double)b->dmin;
    double gain = 2 * (step_d * ae + step_min * ce) - step_d * step_d * aa - 2 * step_d * step_min * ac -
                  step_min * step_min * cc;
    if (!(gain > 0) || !isfinite(d) || !isfinite(dmin))
        return;
    b->d = d;
    b->dmin = dmin;
    for (int j = 0; j < N; j++) {
        s->e[j] -= (float)(step_d * (double)a[j] + step_min * (double)c[j]);
        s->g[j] -= (float)(step_d * (double)ag[j] + step_min * (double)cg[j]);
    }
}

void ash_descend(const ash_block_form *f, const float *x, ash_kblock *b)
{
    state s;
    start(&s, f, x, b);
    for (int i = 0; i < SWEEPS; i++) {
        for (int sub = 0; sub * f->sub_elems < f->count; sub++)
            improve_sub(&s, f, b, sub);
        improve_halves(&s, f, b);
    }
}
