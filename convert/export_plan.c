/* Which tensors a GGUF gets, in which order, and what they are called and typed there. A file that came from a GGUF
 * says all of it; one that came from Hugging Face gets llama.cpp's names, and the types that llama.cpp wants. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/export_internal.h"
#include "format/checked.h"
#include "format/tile.h"

/* What was left out or changed, to be told at the end. */
typedef struct changes {
    uint32_t raw, scales, fp8;
    uint32_t ragged;    /* matrices whose rows are no whole blocks of their type */
    ash_dtype fp8_type; /* what FP8 becomes: the 16-bit type that the rest of the model has */
    bool inputs;        /* inputs of FP8 matrices were rounded to FP8 */
    char names[300];    /* of the first raw tensors */
} changes;

uint64_t ash_export_item_bytes(const ash_export_item *item)
{
    uint64_t bytes = 0; /* the writer has checked the type against the row, the reader the rows against the file */
    (void)ash_row_bytes(item->type, item->member.source_dims[0], &bytes);
    return bytes * (item->tensor ? item->member.row_count * item->member.slice_count : 1);
}

/* ---- one member ---- */

/* What a record may say that this way back does not know: several matrices tiled, a source shape that does not have the
 * tensor's rows, single elements of blocks that move, an untiled matrix to be retyped. The converter writes none of
 * these. */
static ash_status check_item(const ash_export *e, const ash_export_item *item, ash_error *err)
{
    const ash_member_record *m = &item->member;
    const ash_tensor_record *t = item->tensor;
    bool tiled = t->layout != ASH_LAYOUT_LINEAR;
    if (ash_dtype_find(item->type)->gguf < 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s is %s, which GGUF does not have", e->path,
                        item->source_name, ash_dtype_name(item->type));
    if (m->source_dims[0] != t->dims[0] || m->source_dim_count == 0 ||
        (t->dim_count == 1 && m->row_order != ASH_ROWS_SAME && ash_dtype_find(t->dtype)->block_elems != 1) ||
        (tiled && (t->dims[2] * t->dims[3] != 1 || m->source_dims[1] != m->row_count)) ||
        (!tiled && t->dim_count != 1 && item->type != (ash_dtype)t->dtype))
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s has a shape that cannot be exported to GGUF", e->path,
                        item->source_name);
    return ASH_OK;
}

/* GGUF's rows are whole blocks, a K type's tiles need not be. Where they are not, llama.cpp takes a type with smaller
 * blocks and about as many bits, and so do we. */
static ash_status choose_type(const ash_export *e, ash_export_item *item, changes *c, ash_error *err)
{
    static const struct { ash_dtype from, to; } smaller[] = {
        { ASH_Q4_K, ASH_Q5_0 }, { ASH_Q5_K, ASH_Q5_1 }, { ASH_Q6_K, ASH_Q8_0 },
    };
    uint64_t cols = item->tensor->dims[0];
    ash_dtype from = item->type;
    if (cols % ash_dtype_find(from)->block_elems == 0)
        return ASH_OK;
    for (size_t i = 0; i < sizeof smaller / sizeof *smaller; i++)
        if (from == smaller[i].from)
            item->type = smaller[i].to;
    if (cols % ash_dtype_find(item->type)->block_elems != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s is %s with %" PRIu64 " columns, which GGUF has no "
                        "blocks for; convert the model with --type f16", e->path, item->source_name,
                        ash_dtype_name(from), cols);
    c->ragged++;
    return ASH_OK;
}

/* A tensor of the architecture: GGUF's name, row order and type. */
static ash_status translate(const ash_export *e, ash_export_item *item, changes *c, ash_error *err)
{
    const ash_tensor_record *t = item->tensor;
    const ash_arch_tensor *row = ash_arch_tensor_of((ash_role)item->member.role);
    char name[128];
    if (!row || !row->gguf || (t->layer != ASH_NO_LAYER && t->layer >= e->meta.h.layers) ||
        !ash_arch_name(row->gguf, t->layer, name, sizeof name))
        return ash_fail(err, ASH_E_FORMAT, "%s: tensor %s has role %" PRIu32 " in layer %" PRIu32 ", for which GGUF "
                        "has no name: the file is damaged", e->path, item->source_name, item->member.role, t->layer);
    if (row->role == ASH_ROLE_EMBED && item->member.source_dims[1] != e->meta.h.vocab)
        return ash_fail(err, ASH_E_FORMAT, "%s: tensor %s has %" PRIu64 " rows for a vocabulary of %" PRIu32
                        ": the file is damaged", e->path, item->source_name, item->member.source_dims[1],
                        e->meta.h.vocab);
    if (!(item->name = strdup(name)))
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    if (e->arch->gguf_rows == ASH_ROWS_SAME)
        item->member.row_order = ASH_ROWS_SAME;
    if (t->dim_count == 1) {
        if (t->dtype != ASH_F32 && t->dtype != ASH_F16 && t->dtype != ASH_BF16)
            return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s is %s; f32, f16 and bf16 can be exported", e->path,
                            item->source_name, ash_dtype_name(t->dtype));
        item->type = ASH_F32; /* as llama.cpp wants norms and biases */
    } else if (t->dtype == ASH_F8_E4M3) {
        item->type = c->fp8_type;
        c->fp8++;
        c->inputs |= item->member.input_dynamic != 0 || item->member.scale_input != ASH_NO_INDEX;
    }
    return ASH_OK;
}

static ash_status add_member(ash_export *e, const ash_tensor_record *t, const ash_member_record *m, changes *c,
                             ash_error *err)
{
    ash_export_item *item = &e->items[e->count];
    *item = (ash_export_item){ .tensor = t, .record = m, .member = *m, .source_name = ash_file_member_name(e->file, m),
                               .type = (ash_dtype)t->dtype };
    if (e->arch && t->role == ASH_ROLE_SCALE) {
        c->scales++;
        return ASH_OK;
    }
    if (e->arch && t->role == ASH_ROLE_OTHER) {
        size_t at = strlen(c->names);
        if (c->raw++ < 4)
            snprintf(c->names + at, sizeof c->names - at, "%s%.60s", at ? ", " : "", item->source_name);
        return ASH_OK;
    }
    e->count++; /* from here on the list owns the name */
    if (e->arch)
        ASH_TRY(translate(e, item, c, err));
    else if (!(item->name = strdup(item->source_name)))
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    ASH_TRY(choose_type(e, item, c, err));
    e->retyped = e->retyped || m->source_dtype != (uint32_t)item->type;
    return check_item(e, item, err);
}

/* ---- all of them ---- */

static int compare_items(const void *a, const void *b)
{
    uint32_t x = ((const ash_export_item *)a)->member.source_index;
    uint32_t y = ((const ash_export_item *)b)->member.source_index;
    return (x > y) - (x < y);
}

static ash_status collect(ash_export *e, changes *c, ash_error *err)
{
    uint32_t tensors = ash_file_tensor_count(e->file), members = 0;
    for (uint32_t i = 0; i < tensors; i++)
        members += ash_file_tensor(e->file, i)->member_count;
    e->items = calloc((size_t)members + 1, sizeof *e->items); /* one more for the rope factors */
    if (!e->items)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    for (uint32_t i = 0; i < tensors; i++)
        if (ash_file_tensor(e->file, i)->role == ASH_ROLE_EMBED && ash_file_tensor(e->file, i)->dtype == ASH_F16)
            c->fp8_type = ASH_F16;
    for (uint32_t i = 0; i < tensors; i++) {
        const ash_tensor_record *t = ash_file_tensor(e->file, i);
        for (uint32_t m = 0; m < t->member_count; m++)
            ASH_TRY(add_member(e, t, ash_file_member(e->file, t->member_first + m), c, err));
    }
    qsort(e->items, e->count, sizeof *e->items, compare_items);
    for (uint32_t i = 1; i < e->count; i++)
        if (e->items[i].member.source_index == e->items[i - 1].member.source_index)
            return ash_fail(err, ASH_E_FORMAT, "%s: tensors %s and %s have the same place in the source", e->path,
                            e->items[i - 1].source_name, e->items[i].source_name);
    return ASH_OK;
}

/* Llama 3.1's scaling is no key of GGUF: its factors are a tensor, the first one, that the llama graph alone reads. */
static ash_status add_rope_factors(ash_export *e, ash_error *err)
{
    const ash_hparams *h = &e->meta.h;
    if (!e->arch || h->rope_scaling != ASH_ROPE_LLAMA3)
        return ASH_OK;
    if (strcmp(e->arch->name, "llama") != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: llama3 rope scaling with architecture %s cannot be said in a GGUF",
                        e->path, e->arch->name);
    const ash_arch_tensor *row = ash_arch_tensor_of(ASH_ROLE_ROPE_FREQS);
    memmove(e->items + 1, e->items, e->count * sizeof *e->items);
    e->count++;
    e->items[0] = (ash_export_item){ .member = { .role = ASH_ROLE_ROPE_FREQS, .source_dim_count = 1,
                                                 .source_dims = { h->rope_dim / 2, 1, 1, 1 } },
                                     .source_name = row->gguf, .name = strdup(row->gguf), .type = ASH_F32 };
    return e->items[0].name ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
}

static void tell(const ash_export *e, const changes *c)
{
    if (c->fp8)
        ash_export_note(e, "%" PRIu32 " FP8 matrices become %s, since GGUF has no FP8: %" PRIu32 " scale tensors are "
                        "worked in or left out%s", c->fp8, ash_dtype_name(c->fp8_type), c->scales,
                        c->inputs ? ", and inputs are no longer rounded to FP8" : "");
    if (c->ragged)
        ash_export_note(e, "%" PRIu32 " matrices have rows that are no multiple of 256: q4_k, q5_k and q6_k become "
                        "q5_0, q5_1 and q8_0 there, as llama.cpp has it, and their errors add up", c->ragged);
    if (c->raw)
        ash_export_note(e, "left out %" PRIu32 " tensors outside the architecture: %s%s", c->raw, c->names,
                        c->raw > 4 ? ", ..." : "");
}

ash_status ash_export_plan(ash_export *e, ash_error *err)
{
    changes c = { .fp8_type = ASH_BF16 };
    ASH_TRY(collect(e, &c, err));
    ASH_TRY(add_rope_factors(e, err));
    for (uint32_t i = 0; i < e->count; i++)
        if (!ash_add(e->total, ash_export_item_bytes(&e->items[i]), &e->total))
            return ash_fail(err, ASH_E_LIMIT, "%s: the GGUF would have more than 2^64 bytes", e->path);
    tell(e, &c);
    return ASH_OK;
}

bool ash_export_file_type(const ash_export *e, uint32_t *out)
{
    /* llama.cpp's numbers; of the K types those of the mixtures that are mostly made. */
    static const struct { ash_dtype dtype; uint32_t number; } types[] = {
        { ASH_F32, 0 },   { ASH_F16, 1 },   { ASH_Q4_0, 2 },  { ASH_Q4_1, 3 },  { ASH_Q8_0, 7 },   { ASH_Q5_0, 8 },
        { ASH_Q5_1, 9 }, { ASH_Q4_K, 15 }, { ASH_Q5_K, 17 }, { ASH_Q6_K, 18 }, { ASH_BF16, 32 },
    };
    uint64_t bytes[ASH_DTYPE_COUNT] = { 0 };
    for (uint32_t i = 0; i < e->count; i++)
        if (e->items[i].tensor && e->items[i].tensor->dim_count > 1)
            bytes[e->items[i].type] += ash_export_item_bytes(&e->items[i]);
    size_t best = 0, n = sizeof types / sizeof *types;
    for (size_t k = 1; k < n; k++)
        best = bytes[types[k].dtype] > bytes[types[best].dtype] ? k : best;
    *out = types[best].number;
    return bytes[types[best].dtype] != 0;
}
