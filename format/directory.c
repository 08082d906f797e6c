#include "format/directory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/dtype.h"
#include "format/tile.h"

static const char *const role_names[ASH_ROLE_COUNT] = {
    [ASH_ROLE_OTHER] = "other",
    [ASH_ROLE_EMBED] = "embed",
    [ASH_ROLE_OUTPUT] = "output",
    [ASH_ROLE_OUTPUT_NORM] = "output_norm",
    [ASH_ROLE_ROPE_FREQS] = "rope_freqs",
    [ASH_ROLE_ATTN_NORM] = "attn_norm",
    [ASH_ROLE_Q] = "q",
    [ASH_ROLE_K] = "k",
    [ASH_ROLE_V] = "v",
    [ASH_ROLE_O] = "o",
    [ASH_ROLE_Q_BIAS] = "q_bias",
    [ASH_ROLE_K_BIAS] = "k_bias",
    [ASH_ROLE_V_BIAS] = "v_bias",
    [ASH_ROLE_O_BIAS] = "o_bias",
    [ASH_ROLE_Q_NORM] = "q_norm",
    [ASH_ROLE_K_NORM] = "k_norm",
    [ASH_ROLE_FFN_NORM] = "ffn_norm",
    [ASH_ROLE_GATE] = "gate",
    [ASH_ROLE_UP] = "up",
    [ASH_ROLE_DOWN] = "down",
    [ASH_ROLE_QKV] = "qkv",
    [ASH_ROLE_GATE_UP] = "gate_up",
    [ASH_ROLE_SCALE] = "scale",
};

bool ash_role_known(uint32_t role) { return role < ASH_ROLE_COUNT && role_names[role]; }

const char *ash_role_name(uint32_t role) { return ash_role_known(role) ? role_names[role] : "unknown"; }

/* Strict UTF-8 (no overlong forms, no surrogates, at most U+10FFFF) without control bytes. */
static bool name_is_clean(const char *name, uint32_t size)
{
    const uint8_t *p = (const uint8_t *)name, *end = p + size;
    while (p < end) {
        uint8_t b = *p++;
        if (b < 0x80) {
            if (b < 0x20 || b == 0x7f)
                return false;
            continue;
        }
        int more = b >= 0xf0 ? 3 : b >= 0xe0 ? 2 : 1;
        if (b < 0xc2 || b > 0xf4 || end - p < more)
            return false;
        if ((b == 0xe0 && *p < 0xa0) || (b == 0xed && *p > 0x9f) || (b == 0xf0 && *p < 0x90) ||
            (b == 0xf4 && *p > 0x8f))
            return false;
        for (; more; more--)
            if ((*p++ & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* Subtraction only: name and name_bytes are any value. The NUL lies inside STRS too. */
static bool name_is_inside(const ash_directory *d, uint64_t name, uint32_t name_bytes)
{
    return name_bytes > 0 && name_bytes <= ASH_NAME_MAX &&
           ash_inside(name, (uint64_t)name_bytes + 1, d->string_bytes) && d->strings[name + name_bytes] == 0 &&
           name_is_clean(d->strings + name, name_bytes);
}

static const char *name_of(const ash_directory *d, uint32_t tensor) { return d->strings + d->tensors[tensor].name; }

/* Two tensors of one name would make every lookup a matter of luck: a hash set of indices, linear probing. */
static ash_status check_unique(const ash_directory *d, ash_error *err)
{
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)d->tensor_count)
        slots *= 2;
    uint32_t *set = calloc(slots, sizeof *set); /* index + 1; at most 2^22 entries */
    if (!set)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %" PRIu32 " tensor names", d->tensor_count);
    ash_status status = ASH_OK;
    for (uint32_t i = 0; i < d->tensor_count && status == ASH_OK; i++) {
        const char *name = name_of(d, i);
        uint64_t h = UINT64_C(0xcbf29ce484222325);
        for (const char *p = name; *p; p++)
            h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
        uint64_t at = (h ^ h >> 32) & (slots - 1);
        for (; set[at]; at = (at + 1) & (slots - 1))
            if (strcmp(name_of(d, set[at] - 1), name) == 0) {
                status = ash_fail(err, ASH_E_FORMAT, "two tensors are called %s", name);
                break;
            }
        set[at] = i + 1;
    }
    free(set);
    return status;
}

ash_status ash_tensor_geometry(ash_tensor_record *t, const char *name, uint64_t *slice_bytes, ash_error *err)
{
    const ash_dtype_info *type = ash_dtype_find(t->dtype);
    if (!type)
        return ash_fail(err, ASH_E_UNSUPPORTED, "tensor %s has the unknown type %u: a newer ashlar is needed", name,
                        t->dtype);
    if (t->layout >= ASH_LAYOUT_COUNT)
        return ash_fail(err, ASH_E_UNSUPPORTED, "tensor %s has the unknown layout %u: a newer ashlar is needed", name,
                        t->layout);
    if (t->layout_revision != ASH_LAYOUT_REVISION)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "tensor %s has revision %u of layout %u, known is revision %u: convert the model again", name,
                        t->layout_revision, t->layout, ASH_LAYOUT_REVISION);
    const ash_tile_layout *tile = NULL;
    if (t->layout != ASH_LAYOUT_LINEAR) {
        tile = ash_tile_layout_of(t->dtype);
        if (!tile || tile->id != t->layout)
            return ash_fail(err, ASH_E_FORMAT, "tensor %s: layout %u does not hold type %s", name, t->layout,
                            type->name);
    }
    if (t->dim_count < 1 || t->dim_count > 4 || (tile && t->dim_count < 2))
        return ash_fail(err, ASH_E_FORMAT, "tensor %s has %u dimensions", name, t->dim_count);
    for (int i = 0; i < 4; i++)
        if (i < t->dim_count ? t->dims[i] == 0 : t->dims[i] != 1)
            return ash_fail(err, ASH_E_FORMAT, "tensor %s: dimension %d is %" PRIu64, name, i, t->dims[i]);

    uint64_t row, slice, slices, stride, all, panel = 0, padded[2] = { t->dims[0], t->dims[1] };
    bool fits = ash_mul(t->dims[2], t->dims[3], &slices);
    if (tile) {
        uint64_t rest = t->dims[0] % tile->tile_cols;
        fits = fits && ash_panel_bytes(t->dtype, t->dims[0], &panel) &&
               ash_tiled_bytes(t->dtype, t->dims[1], t->dims[0], &slice) &&
               ash_round_up(slice, ASH_TENSOR_ALIGN, &stride) &&
               ash_add(t->dims[0] - rest, ash_div_up(rest, tile->chunk_cols) * tile->chunk_cols, &padded[0]) &&
               ash_round_up(t->dims[1], ASH_PANEL_ROWS, &padded[1]);
    } else {
        fits = fits && ash_row_bytes(t->dtype, t->dims[0], &row) && ash_mul(row, t->dims[1], &slice);
        if (fits)
            stride = slice;
    }
    /* The last matrix has no padding behind it. */
    fits = fits && ash_mul(stride, slices - 1, &all) && ash_add(all, slice, &all) && all <= INT64_MAX;
    if (!fits)
        return ash_fail(err, ASH_E_FORMAT,
                        "tensor %s: dimensions %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64 " are too large",
                        name, t->dims[0], t->dims[1], t->dims[2], t->dims[3]);
    t->padded_dims[0] = padded[0];
    t->padded_dims[1] = padded[1];
    t->size = all;
    t->slice_stride = slices == 1 ? all : stride;
    t->panel_bytes = panel;
    if (slice_bytes)
        *slice_bytes = slice;
    return ASH_OK;
}

static ash_status check_row_order(const ash_tensor_record *t, const ash_member_record *m, const char *name,
                                  ash_error *err)
{
    if (m->row_order == ASH_ROWS_SAME) {
        if (m->row_order_head == 0 && m->row_order_rope == 0)
            return ASH_OK;
    } else if (m->row_order == ASH_ROWS_HALVES) {
        uint64_t rows = t->dim_count == 1 ? t->dims[0] : m->row_count;
        if (m->row_order_head != 0 && m->row_order_rope != 0 && m->row_order_rope % 2 == 0 &&
            m->row_order_rope <= m->row_order_head && rows % m->row_order_head == 0)
            return ASH_OK;
    }
    return ash_fail(err, ASH_E_FORMAT,
                    "member %s: row order %" PRIu32 " of heads of %" PRIu32 " rows, %" PRIu32
                    " of them rotated, does not fit it",
                    name, m->row_order, m->row_order_head, m->row_order_rope);
}

/* scale_weight or scale_input of a member of `t`. */
static ash_status check_scale(const ash_directory *d, const ash_tensor_record *t, const ash_member_record *m,
                              const char *name, uint32_t index, bool input, ash_error *err)
{
    if (index == ASH_NO_INDEX)
        return ASH_OK;
    if (index >= d->tensor_count || d->tensors[index].role != ASH_ROLE_SCALE)
        return ash_fail(err, ASH_E_FORMAT, "member %s: its %s scale, tensor %" PRIu32 ", is no scale", name,
                        input ? "input" : "weight", index);
    /* Only fields that do not depend on the order of checks: the scale's own record may not be checked yet. */
    const ash_tensor_record *s = &d->tensors[index];
    uint64_t elems = 1, rows;
    bool ok = ash_mul(m->row_count, m->slice_count, &rows) && s->layout == ASH_LAYOUT_LINEAR &&
              (s->dtype == ASH_F32 || s->dtype == ASH_F16 || s->dtype == ASH_BF16);
    for (int i = 0; i < 4; i++)
        ok = ok && ash_mul(elems, s->dims[i], &elems);
    if (input)
        ok = ok && s->scale_kind == ASH_SCALE_INPUT && elems == 1;
    else if (s->scale_kind == ASH_SCALE_TENSOR)
        ok = ok && elems == 1;
    else if (s->scale_kind == ASH_SCALE_ROW)
        ok = ok && elems == rows;
    else if (s->scale_kind == ASH_SCALE_BLOCK128)
        ok = ok && s->dims[0] == ash_div_up(t->dims[0], 128) && s->dims[1] == ash_div_up(m->row_count, 128) &&
             elems / s->dims[0] / s->dims[1] == m->slice_count;
    else
        ok = false;
    if (!ok)
        return ash_fail(err, ASH_E_FORMAT,
                        "member %s: its %s scale, tensor %" PRIu32 ", has the wrong kind, type or shape", name,
                        input ? "input" : "weight", index);
    return ASH_OK;
}

static bool roles_agree(uint32_t tensor, uint32_t member)
{
    if (tensor == ASH_ROLE_QKV)
        return member == ASH_ROLE_Q || member == ASH_ROLE_K || member == ASH_ROLE_V;
    if (tensor == ASH_ROLE_GATE_UP)
        return member == ASH_ROLE_GATE || member == ASH_ROLE_UP;
    return member == tensor;
}

static ash_status check_member(const ash_directory *d, const ash_tensor_record *t, const ash_member_record *m,
                               ash_error *err)
{
    const char *tensor = d->strings + t->name;
    if (!name_is_inside(d, m->name, m->name_bytes))
        return ash_fail(err, ASH_E_FORMAT, "tensor %s has a member whose name is broken", tensor);
    const char *name = d->strings + m->name;
    if (!roles_agree(t->role, m->role))
        return ash_fail(err, ASH_E_FORMAT, "member %s has role %" PRIu32 " in tensor %s of role %s", name, m->role,
                        tensor, ash_role_name(t->role));
    if (!ash_dtype_find(m->source_dtype))
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "member %s has the unknown source type %" PRIu32 ": a newer ashlar is needed", name,
                        m->source_dtype);
    uint64_t slices = t->dims[2] * t->dims[3], held, source = 1; /* the tensor's sizes are checked: no wrap */
    if (m->row_count == 0 || !ash_inside(m->row_first, m->row_count, t->dims[1]) || m->slice_count == 0 ||
        !ash_inside(m->slice_first, m->slice_count, slices))
        return ash_fail(err, ASH_E_FORMAT, "member %s: rows %" PRIu64 " + %" PRIu64 " lie outside tensor %s", name,
                        m->row_first, m->row_count, tensor);
    bool same = m->source_dim_count <= 4;
    for (uint32_t i = 0; i < 4 && same; i++)
        same = (i < m->source_dim_count || m->source_dims[i] == 1) && ash_mul(source, m->source_dims[i], &source);
    if (!same || !ash_mul(t->dims[0], m->row_count, &held) || !ash_mul(held, m->slice_count, &held) || held != source)
        return ash_fail(err, ASH_E_FORMAT,
                        "member %s: its shape in the source does not have the elements that tensor %s holds of it",
                        name, tensor);
    if (m->input_dynamic > 1 || (m->input_dynamic && m->scale_input != ASH_NO_INDEX))
        return ash_fail(err, ASH_E_FORMAT, "member %s: its input scale is both static and dynamic", name);
    ASH_TRY(check_row_order(t, m, name, err));
    ASH_TRY(check_scale(d, t, m, name, m->scale_weight, false, err));
    return check_scale(d, t, m, name, m->scale_input, true, err);
}

/* Members come in the order of the matrices and rows that they fill: for each range of matrices one set that covers
 * dims[1]. A member at panel_step 1 follows the one before it; two at panel_step 2 share a range panel by panel.
 * A member that is not the last of a tiled tensor ends at a panel's end. */
static ash_status check_coverage(const ash_tensor_record *t, const ash_member_record *m, const char *name,
                                 ash_error *err)
{
    uint64_t slices = t->dims[2] * t->dims[3], slice = 0, row = 0, rows = t->dims[1];
    bool tiled = t->layout != ASH_LAYOUT_LINEAR;
    for (uint32_t i = 0; i < t->member_count; i++) {
        uint32_t taken = m[i].panel_step == 2 ? 2 : 1;
        bool ok = (m[i].panel_step == 1 || (m[i].panel_step == 2 && tiled)) && slice < slices &&
                  m[i].slice_first == slice && m[i].row_first == row && m[i].row_count <= rows - row &&
                  taken <= t->member_count - i;
        if (row != 0)
            ok = ok && m[i].slice_count == m[i - 1].slice_count;
        if (ok && taken == 2) {
            const ash_member_record *n = &m[i + 1];
            ok = n->panel_step == 2 && n->slice_first == slice && n->slice_count == m[i].slice_count &&
                 n->row_first == row + ASH_PANEL_ROWS && n->row_count == m[i].row_count &&
                 m[i].row_count % ASH_PANEL_ROWS == 0 && m[i].row_count <= (rows - row) / 2;
        }
        if (!ok)
            return ash_fail(err, ASH_E_FORMAT,
                            "tensor %s: member %" PRIu32 " does not follow the one before it, or leaves rows out", name,
                            i);
        row += taken * m[i].row_count;
        i += taken - 1;
        if (row == rows) {
            slice += m[i].slice_count;
            row = 0;
        } else if (tiled && row % ASH_PANEL_ROWS != 0) {
            return ash_fail(err, ASH_E_FORMAT, "tensor %s: member %" PRIu32 " ends inside a panel of 16 rows", name, i);
        }
    }
    if (slice != slices || row != 0)
        return ash_fail(err, ASH_E_FORMAT, "tensor %s: its members do not cover all of its rows", name);
    return ASH_OK;
}

/* *member and *at: the next member and the next free byte of the data section. */
static ash_status check_tensor(const ash_directory *d, uint32_t index, uint64_t *member, uint64_t *at,
                               uint64_t data_end, ash_error *err)
{
    const ash_tensor_record *t = &d->tensors[index];
    if (!name_is_inside(d, t->name, t->name_bytes))
        return ash_fail(err, ASH_E_FORMAT, "the name of tensor %" PRIu32 " is broken", index);
    const char *name = name_of(d, index);
    if (!ash_role_known(t->role))
        return ash_fail(err, ASH_E_UNSUPPORTED, "tensor %s has the unknown role %" PRIu32 ": a newer ashlar is needed",
                        name, t->role);
    if (t->layer != ASH_NO_LAYER && t->layer >= ASH_LAYER_MAX)
        return ash_fail(err, ASH_E_FORMAT, "tensor %s is of layer %" PRIu32 ", more than %d are not possible", name,
                        t->layer, ASH_LAYER_MAX);
    if (t->role == ASH_ROLE_SCALE ? t->scale_kind < ASH_SCALE_TENSOR || t->scale_kind > ASH_SCALE_V_CACHE
                                  : t->scale_kind != 0)
        return ash_fail(err, ASH_E_FORMAT, "tensor %s of role %s has scale kind %" PRIu32, name, ash_role_name(t->role),
                        t->scale_kind);
    ash_tensor_record sizes = *t;
    ASH_TRY(ash_tensor_geometry(&sizes, name, NULL, err));
    if (sizes.size != t->size || sizes.slice_stride != t->slice_stride || sizes.panel_bytes != t->panel_bytes ||
        sizes.padded_dims[0] != t->padded_dims[0] || sizes.padded_dims[1] != t->padded_dims[1])
        return ash_fail(err, ASH_E_FORMAT, "tensor %s: its sizes do not follow from its dimensions and layout", name);
    uint64_t begin;
    if (!ash_round_up(*at, ASH_TENSOR_ALIGN, &begin) || t->offset != begin)
        return ash_fail(err, ASH_E_FORMAT, "tensor %s begins at byte %" PRIu64 ", not behind the tensor before it",
                        name, t->offset);
    if (begin > data_end || t->size > data_end - begin)
        return ash_fail(err, ASH_E_FORMAT, "tensor %s ends outside the data section", name);
    *at = begin + t->size;
    if (t->member_first != *member || t->member_count == 0 || t->member_count > d->member_count - *member)
        return ash_fail(err, ASH_E_FORMAT,
                        "tensor %s: its members, %" PRIu32 " + %" PRIu32 ", are not the next in the list", name,
                        t->member_first, t->member_count);
    *member += t->member_count;
    for (uint32_t i = 0; i < t->member_count; i++)
        ASH_TRY(check_member(d, t, &d->members[t->member_first + i], err));
    return check_coverage(t, &d->members[t->member_first], name, err);
}

ash_status ash_directory_check(const ash_directory *d, uint64_t data_offset, uint64_t data_size, ash_error *err)
{
    if (d->tensor_count > ASH_TENSOR_MAX || d->member_count > ASH_MEMBER_MAX)
        return ash_fail(err, ASH_E_LIMIT, "%" PRIu32 " tensors and %" PRIu32 " members: more than %u and %u",
                        d->tensor_count, d->member_count, ASH_TENSOR_MAX, ASH_MEMBER_MAX);
    uint64_t member = 0, at = data_offset, data_end, end;
    if (!ash_add(data_offset, data_size, &data_end))
        return ash_fail(err, ASH_E_FORMAT, "the data section is too large");
    for (uint32_t i = 0; i < d->tensor_count; i++)
        ASH_TRY(check_tensor(d, i, &member, &at, data_end, err));
    if (member != d->member_count)
        return ash_fail(err, ASH_E_FORMAT, "%" PRIu64 " of %" PRIu32 " members belong to a tensor", member,
                        d->member_count);
    if (!ash_round_up(at, ASH_TENSOR_ALIGN, &end) || end != data_end)
        return ash_fail(err, ASH_E_FORMAT, "the data section ends at byte %" PRIu64 ", its last tensor at %" PRIu64,
                        data_end, at);
    return check_unique(d, err);
}
