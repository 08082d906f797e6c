#include "quant/imatrix.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "format/gguf_write.h"
#include "format/halffloat.h"
#include "quant/sketch.h"

#define SUMS ".in_sum2"
#define PLAIN_SUMS ".in_sum"
#define COUNTS ".counts"
#define DIRECTIONS ".in_directions"
#define ALIGNMENT 32
#define TENSORS_MAX 65536 /* of a file: counts are looked up one by one */
#define SHARING 8         /* names of one layer, sorted, between a tensor and the one that has its directions */

typedef struct entry {
    char *tensor;
    uint64_t cols;
    double rows;  /* that were summed */
    double *sums, *plain; /* of squares; of the inputs themselves */
    ash_sketch sketch;    /* cols 0: none */
    float *weights;       /* of a file that was read */
    ash_balance own;
    const ash_balance *balance; /* own, that of another with the same inputs, or NULL */
} entry;

struct ash_imatrix {
    entry *entries; /* sorted by name */
    uint32_t count, room;
    const ash_blas *blas; /* NULL: means in place of directions */
};

ash_status ash_imatrix_new(const ash_blas *blas, ash_imatrix **out, ash_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return ash_fail(err, ASH_E_MEMORY, "out of memory");
    (*out)->blas = blas;
    return ASH_OK;
}

void ash_imatrix_free(ash_imatrix *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->count; i++) {
        free(m->entries[i].tensor);
        free(m->entries[i].sums);
        free(m->entries[i].plain);
        free(m->entries[i].weights);
        ash_sketch_free(&m->entries[i].sketch);
        ash_balance_free(&m->entries[i].own);
    }
    free(m->entries);
    free(m);
}

uint32_t ash_imatrix_count(const ash_imatrix *m) { return m->count; }

/* Where `tensor` is, or would have to be inserted. */
static uint32_t place_of(const ash_imatrix *m, const char *tensor, bool *there)
{
    uint32_t low = 0, high = m->count;
    *there = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(m->entries[middle].tensor, tensor);
        if (order == 0) {
            *there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The tensor's entry, made where it is missing. */
static ash_status entry_of(ash_imatrix *m, const char *tensor, uint64_t cols, entry **out, ash_error *err)
{
    bool there;
    uint32_t at = place_of(m, tensor, &there);
    if (there && m->entries[at].cols != cols)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: inputs of %" PRIu64 " columns after some of %" PRIu64, tensor, cols,
                        m->entries[at].cols);
    if (there) {
        *out = &m->entries[at];
        return ASH_OK;
    }
    if (m->count == m->room) {
        uint32_t room = m->room ? 2 * m->room : 64;
        entry *grown = realloc(m->entries, room * sizeof *grown);
        if (!grown)
            return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", tensor);
        m->entries = grown;
        m->room = room;
    }
    entry e = { .tensor = strdup(tensor), .cols = cols, .sums = calloc(cols ? cols : 1, sizeof *e.sums),
                .plain = calloc(cols ? cols : 1, sizeof *e.plain) };
    if (!e.tensor || !e.sums || !e.plain) {
        free(e.tensor);
        free(e.sums);
        free(e.plain);
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory for %" PRIu64 " sums", tensor, cols);
    }
    memmove(m->entries + at + 1, m->entries + at, (m->count - at) * sizeof *m->entries);
    m->entries[at] = e;
    m->count++;
    *out = &m->entries[at];
    return ASH_OK;
}

ash_status ash_imatrix_add(ash_imatrix *m, const char *tensor, bool first, const float *x, int64_t tokens,
                           int64_t cols, int64_t stride, ash_error *err)
{
    entry *e;
    ASH_TRY(entry_of(m, tensor, (uint64_t)cols, &e, err));
    if (m->blas && first && !e->sketch.cols)
        ASH_TRY(ash_sketch_init(&e->sketch, m->blas, cols, ASH_IMATRIX_DIRECTIONS, err));
    for (int64_t t = 0; t < tokens; t++) {
        const float *row = x + t * stride;
        for (int64_t k = 0; k < cols; k++) {
            e->sums[k] += (double)row[k] * (double)row[k];
            e->plain[k] += (double)row[k];
        }
        if (e->sketch.cols && ash_sketch_add(&e->sketch, row, err) != ASH_OK)
            return ash_fail_in(err, tensor);
    }
    e->rows += (double)tokens;
    return ASH_OK;
}

ash_status ash_imatrix_find(const ash_imatrix *m, const char *tensor, uint64_t cols, ash_importance *out,
                            ash_error *err)
{
    bool there;
    uint32_t at = place_of(m, tensor, &there);
    *out = (ash_importance){ 0 };
    if (!there)
        return ASH_OK;
    if (m->entries[at].cols != cols)
        return ash_fail(err, ASH_E_ARGUMENT, "%s has %" PRIu64 " columns, its importance %" PRIu64
                        ": it was measured on another model", tensor, cols, m->entries[at].cols);
    const entry *e = &m->entries[at];
    *out = (ash_importance){ .weight = e->weights, .balance = e->balance };
    return ASH_OK;
}

/* ---- writing ---- */

static ash_status write_keys(ash_gguf_writer *w, const char *dataset, uint32_t chunks, uint32_t chunk_size,
                             ash_error *err)
{
    ash_gguf_string name = { .text = dataset, .size = strlen(dataset) };
    ASH_TRY(ash_gguf_writer_kv_string(w, "general.type", "imatrix", strlen("imatrix"), err));
    ASH_TRY(ash_gguf_writer_kv_strings(w, "imatrix.datasets", &name, 1, err));
    ASH_TRY(ash_gguf_writer_kv_u32(w, "imatrix.chunk_count", chunks, err));
    return ash_gguf_writer_kv_u32(w, "imatrix.chunk_size", chunk_size, err);
}

static ash_status declare(ash_gguf_writer *w, const entry *e, const char *suffix, ash_dtype dtype, uint64_t cols,
                          uint64_t rows, ash_error *err)
{
    char name[256];
    int n = snprintf(name, sizeof name, "%s%s", e->tensor, suffix);
    if (n < 0 || (size_t)n >= sizeof name)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: the name is too long", e->tensor);
    return ash_gguf_writer_tensor(w, name, dtype, 2, (uint64_t[4]){ cols, rows, 1, 1 }, err);
}

static ash_status put_sums(ash_gguf_writer *w, const entry *e, const double *from, ash_error *err)
{
    float *sums = malloc((e->cols ? e->cols : 1) * sizeof *sums);
    if (!sums)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->tensor);
    ash_status status = ASH_OK;
    for (uint64_t k = 0; k < e->cols && status == ASH_OK; k++) {
        sums[k] = (float)from[k];
        if (!isfinite(sums[k]))
            status = ash_fail(err, ASH_E_UNSUPPORTED, "%s: the inputs of column %" PRIu64 " are not finite: the model "
                              "is broken, ashlar verify may say where", e->tensor, k);
    }
    if (status == ASH_OK)
        status = ash_gguf_writer_put(w, sums, e->cols * sizeof *sums, err);
    free(sums);
    return status;
}

/* Each divided by the root of its column's sum of squares, so from -1 to 1: halves hold that well. */
static ash_status put_directions(ash_gguf_writer *w, const entry *e, ash_error *err)
{
    uint16_t *row = malloc((e->cols ? e->cols : 1) * sizeof *row);
    ash_status status = row ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->tensor);
    for (int64_t i = 0; i < e->sketch.count && status == ASH_OK; i++) {
        const float *from = e->sketch.rows + i * e->sketch.cols;
        for (uint64_t k = 0; k < e->cols; k++) {
            double share = e->sums[k] > 0 ? (double)from[k] / sqrt(e->sums[k]) : 0;
            row[k] = ash_f32_to_f16((float)fmax(-1, fmin(1, share)));
        }
        status = ash_gguf_writer_put(w, row, e->cols * sizeof *row, err);
    }
    free(row);
    return status;
}

static ash_status put_entry(const ash_imatrix *m, ash_gguf_writer *w, const entry *e, ash_error *err)
{
    float rows = (float)e->rows;
    ASH_TRY(put_sums(w, e, e->sums, err));
    ASH_TRY(ash_gguf_writer_put(w, &rows, sizeof rows, err));
    return m->blas ? put_directions(w, e, err) : put_sums(w, e, e->plain, err);
}

static ash_status write_all(ash_imatrix *m, ash_gguf_writer *w, const char *dataset, uint32_t chunks,
                            uint32_t chunk_size, ash_error *err)
{
    ASH_TRY(write_keys(w, dataset, chunks, chunk_size, err));
    for (uint32_t i = 0; i < m->count; i++) {
        entry *e = &m->entries[i];
        if (e->sketch.cols && ash_sketch_finish(&e->sketch, err) != ASH_OK)
            return ash_fail_in(err, e->tensor);
        ASH_TRY(declare(w, e, SUMS, ASH_F32, e->cols, 1, err));
        ASH_TRY(declare(w, e, COUNTS, ASH_F32, 1, 1, err));
        if (!m->blas)
            ASH_TRY(declare(w, e, PLAIN_SUMS, ASH_F32, e->cols, 1, err));
        else if (e->sketch.count)
            ASH_TRY(declare(w, e, DIRECTIONS, ASH_F16, e->cols, (uint64_t)e->sketch.count, err));
    }
    for (uint32_t i = 0; i < m->count; i++)
        ASH_TRY(put_entry(m, w, &m->entries[i], err));
    return ASH_OK;
}

ash_status ash_imatrix_write(ash_imatrix *m, const char *path, bool replace, const char *dataset,
                             uint32_t chunks, uint32_t chunk_size, ash_error *err)
{
    ash_gguf_writer *w;
    ASH_TRY(ash_gguf_writer_create(path, replace, 3, ALIGNMENT, &w, err));
    ash_status status = write_all(m, w, dataset, chunks, chunk_size, err);
    if (status != ASH_OK) {
        ash_gguf_writer_abort(w);
        return status;
    }
    return ash_gguf_writer_finish(w, err);
}

/* ---- reading ---- */

/* The name without `suffix`, malloc'd; NULL where it does not end so (or no memory: then *failed). */
static char *stem_of(const char *name, const char *suffix, bool *failed)
{
    size_t n = strlen(name), tail = strlen(suffix);
    if (n <= tail || strcmp(name + n - tail, suffix) != 0)
        return NULL;
    char *stem = strndup(name, n - tail);
    *failed = !stem;
    return stem;
}

/* The tensor called stem + suffix, or NULL. */
static const ash_gguf_tensor *named(const ash_gguf *g, const char *stem, const char *suffix)
{
    size_t n = strlen(stem);
    for (uint32_t i = 0; i < ash_gguf_tensor_count(g); i++) {
        const ash_gguf_tensor *t = ash_gguf_tensor_at(g, i);
        if (strncmp(t->name, stem, n) == 0 && strcmp(t->name + n, suffix) == 0)
            return t;
    }
    return NULL;
}

/* Square roots are rounded alike everywhere; powers are not. */
static float weight_of(double mean) { return (float)(sqrt(mean) * sqrt(sqrt(mean))); }

static ash_status read_weights(const ash_gguf *g, const ash_gguf_tensor *sums, const ash_gguf_tensor *counts, entry *e,
                             ash_error *err)
{
    float rows;
    ASH_TRY(ash_gguf_read(g, counts, 0, &rows, sizeof rows, err));
    if (!isfinite(rows) || rows < 0)
        return ash_fail(err, ASH_E_FORMAT, "%s is %g: a count is a number from 0 on", counts->name, (double)rows);
    float *weights = malloc(sums->size ? sums->size : 1);
    if (!weights)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", sums->name);
    ash_status status = ash_gguf_read(g, sums, 0, weights, sums->size, err);
    for (uint64_t k = 0; k < e->cols && status == ASH_OK; k++) {
        e->sums[k] = (double)weights[k];
        if (!isfinite(weights[k]) || weights[k] < 0)
            status = ash_fail(err, ASH_E_FORMAT, "%s: column %" PRIu64 " is %g: a sum of squares is a number from 0 on",
                              sums->name, k, (double)weights[k]);
        else
            weights[k] = weight_of(e->sums[k] / (rows > 0 ? (double)rows : 1));
    }
    if (status != ASH_OK || rows == 0) { /* a tensor that no token reached: nothing is known */
        free(weights);
        return status;
    }
    e->rows = (double)rows;
    e->weights = weights;
    return ASH_OK;
}

/* One direction of a file, or the means, as floats in the units of the inputs. e has its sums of squares and rows. */
static ash_status read_direction(const ash_gguf *g, const ash_gguf_tensor *t, uint64_t at, const entry *e,
                                 uint16_t *halves, float *out, ash_error *err)
{
    bool means = t->dtype == ASH_F32;
    size_t bytes = e->cols * (means ? sizeof *out : sizeof *halves);
    ASH_TRY(ash_gguf_read(g, t, at * bytes, means ? (void *)out : (void *)halves, bytes, err));
    for (uint64_t k = 0; k < e->cols; k++) {
        double root = sqrt(e->sums[k] / e->rows), stored = means ? (double)out[k] : (double)ash_f16_to_f32(halves[k]);
        double value = means ? stored / e->rows : stored * root;
        /* The root of the mean square is the most, but for the rounding of both sums to float. */
        if (!(fabs(value) <= root * (1 + 0x1p-20)))
            return ash_fail(err, ASH_E_FORMAT, "%s: column %" PRIu64 " is %g: more than its squares allow", t->name, k,
                            stored);
        out[k] = (float)value;
    }
    return ASH_OK;
}

static ash_status read_directions(const ash_gguf *g, const ash_gguf_tensor *t, entry *e, ash_error *err)
{
    if (t->dims[0] != e->cols || t->dims[1] > ASH_IMATRIX_DIRECTIONS_MAX || t->dims[2] != 1 || t->dims[3] != 1)
        return ash_fail(err, ASH_E_FORMAT, "%s: %" PRIu64 " columns and at most %d directions belong here", t->name,
                        e->cols, ASH_IMATRIX_DIRECTIONS_MAX);
    float *numbers = malloc(e->cols * t->dims[1] * sizeof *numbers + 1);
    uint16_t *halves = malloc(e->cols * sizeof *halves + 1);
    double *squares = malloc(e->cols * sizeof *squares + 1);
    ash_status status = numbers && halves && squares ? ASH_OK
                                                     : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", t->name);
    for (uint64_t i = 0; i < t->dims[1] && status == ASH_OK; i++)
        status = read_direction(g, t, i, e, halves, numbers + i * e->cols, err);
    for (uint64_t k = 0; k < e->cols && status == ASH_OK; k++)
        squares[k] = e->sums[k] / e->rows;
    if (status == ASH_OK)
        status = ash_balance_init(&e->own, numbers, squares, (int64_t)e->cols, (int64_t)t->dims[1], err);
    free(numbers);
    free(halves);
    free(squares);
    return status;
}

static ash_status read_tensor(const ash_gguf *g, const ash_gguf_tensor *t, const char *stem, ash_imatrix *m,
                              ash_error *err)
{
    const ash_gguf_tensor *counts = named(g, stem, COUNTS);
    if (!counts)
        return ash_fail(err, ASH_E_FORMAT, "%s has sums but no " COUNTS, stem);
    uint64_t matrices = t->dims[1] * t->dims[2] * t->dims[3]; /* the reader has checked the product */
    if (matrices != 1)
        return ASH_OK;
    if (t->dtype != ASH_F32 || counts->dtype != ASH_F32 || counts->size != sizeof(float))
        return ash_fail(err, ASH_E_FORMAT, "%s: sums are F32 and one F32 count goes with a matrix", stem);
    entry *e;
    ASH_TRY(entry_of(m, stem, t->dims[0], &e, err));
    ASH_TRY(read_weights(g, t, counts, e, err));
    const ash_gguf_tensor *directions = named(g, stem, DIRECTIONS), *plain = named(g, stem, PLAIN_SUMS);
    if (directions && directions->dtype != ASH_F16)
        return ash_fail(err, ASH_E_FORMAT, "%s: directions are F16", directions->name);
    if (plain && (plain->dtype != ASH_F32 || plain->size != e->cols * sizeof(float)))
        return ash_fail(err, ASH_E_FORMAT, "%s: a sum is F32, one a column", plain->name);
    if (!e->weights || (!directions && !plain))
        return ASH_OK;
    return read_directions(g, directions ? directions : plain, e, err);
}

/* Entries without directions take them from a neighbour with the same inputs, which the same sums tell. */
static void share(ash_imatrix *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        entry *e = &m->entries[i];
        uint32_t first = i < SHARING ? 0 : i - SHARING;
        if (e->own.rank > 0)
            e->balance = &e->own;
        for (uint32_t j = first; e->weights && !e->balance && j < m->count && j <= i + SHARING; j++) {
            const entry *other = &m->entries[j];
            if (other->own.rank > 0 && other->cols == e->cols && other->rows == e->rows &&
                memcmp(other->sums, e->sums, e->cols * sizeof *e->sums) == 0)
                e->balance = &other->own;
        }
    }
}

static ash_status read_all(const ash_gguf *g, ash_imatrix *m, ash_error *err)
{
    ash_gguf_string type;
    uint64_t chunks;
    /* Files from before general.type have the chunk count alone. */
    if (ash_gguf_get_string(g, "general.type", &type)
            ? type.size != strlen("imatrix") || memcmp(type.text, "imatrix", type.size) != 0
            : !ash_gguf_get_u64(g, "imatrix.chunk_count", &chunks))
        return ash_fail(err, ASH_E_FORMAT, "is no importance matrix (general.type is not imatrix)");
    if (ash_gguf_tensor_count(g) > TENSORS_MAX)
        return ash_fail(err, ASH_E_LIMIT, "has %" PRIu32 " tensors: no importance matrix has so many",
                        ash_gguf_tensor_count(g));
    for (uint32_t i = 0; i < ash_gguf_tensor_count(g); i++) {
        const ash_gguf_tensor *t = ash_gguf_tensor_at(g, i);
        bool failed = false;
        char *stem = stem_of(t->name, SUMS, &failed);
        if (failed)
            return ash_fail(err, ASH_E_MEMORY, "out of memory");
        ash_status status = stem ? read_tensor(g, t, stem, m, err) : ASH_OK;
        free(stem);
        ASH_TRY(status);
    }
    if (m->count == 0)
        return ash_fail(err, ASH_E_FORMAT, "has no " SUMS " tensors");
    share(m);
    return ASH_OK;
}

ash_status ash_imatrix_read(const char *path, ash_imatrix **out, ash_error *err)
{
    ash_gguf *g;
    *out = NULL;
    ASH_TRY(ash_gguf_open(path, &g, err));
    ash_imatrix *m = NULL;
    ash_status status = ash_imatrix_new(NULL, &m, err);
    if (status == ASH_OK)
        status = read_all(g, m, err);
    ash_gguf_close(g);
    if (status == ASH_OK) {
        *out = m;
        return ASH_OK;
    }
    ash_imatrix_free(m);
    return strncmp(err->text, path, strlen(path)) == 0 ? status : ash_fail_in(err, path);
}
