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

/* Several matrices tiled, a source shape that does not have the tensor's rows, single elements of blocks that move, an
 * untiled matrix to be retyped. */
ash_status ash_export_check(const ash_export *e, const ash_export_item *item, const char *format, ash_error *err)
{
    const ash_member_record *m = &item->member;
    const ash_tensor_record *t = item->tensor;
    bool tiled = t->layout != ASH_LAYOUT_LINEAR;
    if (m->source_dims[0] != t->dims[0] || m->source_dim_count == 0 ||
        (t->dim_count == 1 && m->row_order != ASH_ROWS_SAME && ash_dtype_find(t->dtype)->block_elems != 1) ||
        (tiled && (t->dims[2] * t->dims[3] != 1 || m->source_dims[1] != m->row_count)) ||
        (!tiled && t->dim_count != 1 && item->type != (ash_dtype)t->dtype))
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s has a shape that cannot be exported to %s", e->path,
                        item->source_name, format);
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

ash_status ash_export_arch_tensor(const ash_export *e, const ash_export_item *item, bool hf,
                                  const ash_arch_tensor **out, char **name, ash_error *err)
{
    const ash_tensor_record *t = item->tensor;
    const ash_arch_tensor *row = ash_arch_tensor_of((ash_role)item->member.role);
    const char *pattern = !row ? NULL : hf ? row->hf : row->gguf;
    char text[128];
    if (!pattern || (t->layer != ASH_NO_LAYER && t->layer >= e->meta.h.layers) ||
        !ash_arch_name(pattern, t->layer, text, sizeof text))
        return ash_fail(err, ASH_E_FORMAT, "%s: tensor %s has role %" PRIu32 " in layer %" PRIu32 ", for which %s "
                        "has no name: the file is damaged", e->path, item->source_name, item->member.role, t->layer,
                        hf ? "Hugging Face" : "GGUF");
    if (row->role == ASH_ROLE_EMBED && item->member.source_dims[1] != e->meta.h.vocab)
        return ash_fail(err, ASH_E_FORMAT, "%s: tensor %s has %" PRIu64 " rows for a vocabulary of %" PRIu32
                        ": the file is damaged", e->path, item->source_name, item->member.source_dims[1],
                        e->meta.h.vocab);
    *out = row;
    *name = strdup(text);
    return *name ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
}

/* A tensor of the architecture, from Hugging Face: GGUF's name, row order and type. */
static ash_status translate(const ash_export *e, ash_export_item *item, ash_error *err)
{
    const ash_tensor_record *t = item->tensor;
    const ash_arch_tensor *row;
    ASH_TRY(ash_export_arch_tensor(e, item, false, &row, &item->name, err));
    if (e->arch->gguf_rows == ASH_ROWS_SAME)
        item->member.row_order = ASH_ROWS_SAME;
    if (t->dim_count == 1) {
        if (t->dtype != ASH_F32 && t->dtype != ASH_F16 && t->dtype != ASH_BF16)
            return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s is %s; f32, f16 and bf16 can be exported", e->path,
                            item->source_name, ash_dtype_name(t->dtype));
        item->type = ASH_F32; /* as llama.cpp wants norms and biases */
    }
    return ASH_OK;
}

static ash_status add_member(ash_export *e, const ash_tensor_record *t, const ash_member_record *m, void *context,
                             ash_error *err)
{
    changes *c = context;
    ash_export_item *item = &e->items[e->count];
    *item = (ash_export_item){ .tensor = t, .record = m, .member = *m, .source_name = ash_file_member_name(e->file, m),
                               .type = (ash_dtype)t->dtype, .order = m->source_index };
    if (t->role == ASH_ROLE_SCALE) {
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
        ASH_TRY(translate(e, item, err));
    else if (!(item->name = strdup(item->source_name)))
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    if (t->dtype == ASH_F8_E4M3 && t->dim_count > 1) {
        item->type = c->fp8_type;
        c->fp8++;
        c->inputs |= item->member.input_dynamic != 0 || item->member.scale_input != ASH_NO_INDEX;
    }
    ASH_TRY(choose_type(e, item, c, err));
    e->retyped = e->retyped || m->source_dtype != (uint32_t)item->type;
    if (ash_dtype_find(item->type)->gguf < 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s is %s, which GGUF does not have", e->path,
                        item->source_name, ash_dtype_name(item->type));
    return ash_export_check(e, item, "GGUF", err);
}

/* ---- all of them ---- */

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

ash_status ash_export_sum(ash_export *e, ash_error *err)
{
    e->total = 0;
    for (uint32_t i = 0; i < e->count; i++)
        if (!ash_add(e->total, ash_export_item_bytes(&e->items[i]), &e->total))
            return ash_fail(err, ASH_E_LIMIT, "%s: the output would have more than 2^64 bytes", e->path);
    return ASH_OK;
}

ash_status ash_export_plan(ash_export *e, ash_error *err)
{
    changes c = { .fp8_type = ASH_BF16 };
    for (uint32_t i = 0; i < ash_file_tensor_count(e->file); i++)
        if (ash_file_tensor(e->file, i)->role == ASH_ROLE_EMBED && ash_file_tensor(e->file, i)->dtype == ASH_F16)
            c.fp8_type = ASH_F16;
    ASH_TRY(ash_export_collect(e, add_member, &c, err));
    ASH_TRY(add_rope_factors(e, err));
    ASH_TRY(ash_export_sum(e, err));
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
