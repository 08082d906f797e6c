#include "convert/plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "format/checked.h"
#include "format/directory.h"
#include "format/tile.h"
#include "quant/encode.h"

#define SUB_BLOCK_MAX 32 /* elements that share a scale, at most (Q6_K: 16, but tiles want 32) */

#define FAIL(p, status, ...) ash_fail((p)->err, status, __VA_ARGS__)

uint64_t ash_source_row(const ash_member_record *m, uint64_t row)
{
    if (m->row_order != ASH_ROWS_HALVES)
        return row;
    uint64_t head = row / m->row_order_head * m->row_order_head, at = row - head;
    return at < m->row_order_rope ? head + at / 2 + at % 2 * (m->row_order_rope / 2) : row;
}

/* ---- the growing plan ---- */

static bool grow(void **items, size_t *room, size_t count, size_t item_bytes)
{
    if (count < *room)
        return true;
    size_t want = *room ? 2 * *room : 64;
    void *p = realloc(*items, want * item_bytes); /* counts follow from the source's directory: far below 2^32 */
    if (!p)
        return false;
    *items = p;
    *room = want;
    return true;
}

ash_status ash_plan_tensor_add(ash_planner *p, const char *name, const ash_tensor_record *record)
{
    ash_plan *plan = p->plan;
    ash_plan_tensor t = { .record = *record, .member_first = plan->member_count };
    t.record.layout_revision = ASH_LAYOUT_REVISION;
    ash_error local;
    if (ash_tensor_geometry(&t.record, name, NULL, &local) != ASH_OK)
        return FAIL(p, local.status, "%s: %s", p->source->path, local.text);
    if (!grow((void **)&plan->tensors, &plan->tensor_room, plan->tensor_count, sizeof *plan->tensors) ||
        !(t.name = strdup(name)))
        return FAIL(p, ASH_E_MEMORY, "%s: out of memory", p->source->path);
    plan->tensors[plan->tensor_count++] = t;
    return ASH_OK;
}

ash_status ash_plan_member_add(ash_planner *p, const ash_source_tensor *source, const ash_plan_member *member)
{
    ash_plan *plan = p->plan;
    if (!grow((void **)&plan->members, &plan->member_room, plan->member_count, sizeof *plan->members))
        return FAIL(p, ASH_E_MEMORY, "%s: out of memory", p->source->path);
    ash_plan_member m = *member;
    m.source = source;
    /* Of an .ashlar, what its own source had: so that an export goes all the way back. */
    m.record.source_dtype = source->member ? source->member->source_dtype : source->dtype;
    m.record.source_index = source->member ? source->member->source_index : source->index;
    m.record.source_dim_count = source->dim_count;
    for (uint32_t d = 0; d < 4; d++)
        m.record.source_dims[d] = source->dims[d];
    plan->members[plan->member_count++] = m;
    plan->tensors[plan->tensor_count - 1].member_count++;
    if (source->index >= p->source->count) /* one of plan->made */
        return ASH_OK;
    plan->source_bytes += source->size;
    if (m.made && !m.made_given)
        plan->search_bytes += source->size;
    p->claimed[source->index] = true;
    return ASH_OK;
}

void ash_plan_free(ash_plan *plan)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        free(plan->tensors[i].name);
    for (uint32_t i = 0; i < plan->member_count; i++) {
        free(plan->members[i].scale);
        if (plan->members[i].owns_made)
            free(plan->members[i].made);
    }
    for (uint32_t i = 0; i < plan->made_count; i++) {
        free((char *)plan->made[i]->name);
        free(plan->made[i]);
    }
    free(plan->made);
    free(plan->tensors);
    free(plan->members);
    *plan = (ash_plan){ 0 };
}

/* ---- one source tensor against the tables ---- */

/* Where the hyperparameters come from, for errors. */
static const char *where(const ash_planner *p, char out[512])
{
    bool hf = p->source->kind == ASH_SOURCE_HF && !p->source->ashlar;
    snprintf(out, 512, "%.400s%s", p->source->path, hf ? ": config.json" : "");
    return out;
}

static ash_status check_extent(ash_planner *p, const ash_source_tensor *t, ash_extent extent, uint64_t found,
                               const char *what)
{
    uint64_t expected = ash_extent_value(extent, &p->import->h);
    if (found == expected)
        return ASH_OK;
    char place[512], shape[128];
    return FAIL(p, ASH_E_FORMAT, "%s: %s gives %" PRIu64 ", but tensor %s with shape %s has %" PRIu64 " %s",
                where(p, place), ash_extent_keys(extent, p->source->kind == ASH_SOURCE_HF), expected, t->name,
                ash_source_shape(p->source, t, shape), found, what);
}

static bool is_matrix(const ash_arch_tensor *row) { return row->rows != ASH_EXTENT_ONE; }

static ash_status check_shape(ash_planner *p, const ash_arch_tensor *row, const ash_source_tensor *t)
{
    uint32_t dims = is_matrix(row) ? 2 : 1;
    if (t->dim_count != dims) {
        char shape[128];
        return FAIL(p, ASH_E_FORMAT, "%s: tensor %s has shape %s, but %" PRIu32 " dimension%s needed", p->source->path,
                    t->name, ash_source_shape(p->source, t, shape), dims, dims == 1 ? " is" : "s are");
    }
    ASH_TRY(check_extent(p, t, row->cols, t->dims[0], dims == 1 ? "elements" : "columns"));
    return dims == 1 ? ASH_OK : check_extent(p, t, row->rows, t->dims[1], "rows");
}

/* The type of the output; *rule is that of the recipe which says so. */
static ash_dtype output_type_by(const ash_planner *p, ash_role role, uint32_t layer, const ash_source_tensor *t,
                                uint32_t *rule)
{
    const ash_arch_tensor *row = ash_arch_tensor_of(role);
    const char *const patterns[3] = { row->name, row->hf, row->gguf };
    char names[3][128];
    const char *given[3] = { NULL };
    for (int i = 0; i < 3; i++)
        if (patterns[i] && ash_arch_name(patterns[i], layer, names[i], sizeof names[i]))
            given[i] = names[i];
    uint32_t type = ash_recipe_type(p->recipe, &p->import->h, role, layer, given, rule);
    return type == ASH_TYPE_KEEP ? t->dtype : (ash_dtype)type;
}

static ash_dtype output_type(const ash_planner *p, ash_role role, uint32_t layer, const ash_source_tensor *t)
{
    uint32_t rule;
    return output_type_by(p, role, layer, t, &rule);
}

/* Which type the matrix will have, and whether it can. */
static ash_status check_type(ash_planner *p, const ash_arch_tensor *row, uint32_t layer, const ash_source_tensor *t)
{
    const ash_dtype_info *in = ash_dtype_find(t->dtype);
    if (!is_matrix(row)) {
        bool f32_alone = row->role == ASH_ROLE_ROPE_FREQS;
        if (t->dtype == ASH_F32 || (!f32_alone && (t->dtype == ASH_F16 || t->dtype == ASH_BF16)))
            return ASH_OK;
        return FAIL(p, ASH_E_UNSUPPORTED, "%s: tensor %s is %s; %s supported for it", p->source->path, t->name,
                    in->name, f32_alone ? "f32 is" : "f32, f16 and bf16 are");
    }
    if (!ash_dtype_usable(t->dtype))
        return FAIL(p, ASH_E_UNSUPPORTED, "%s: tensor %s is %s, which is not supported; f32, f16, bf16, f8_e4m3, "
                    "q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k are", p->source->path, t->name, in->name);
    if (!t->member && t->dims[0] % in->block_elems != 0)
        return FAIL(p, ASH_E_FORMAT, "%s: tensor %s has %" PRIu64 " columns, which is no multiple of the %" PRIu32
                    " of a %s block", p->source->path, t->name, t->dims[0], in->block_elems, in->name);
    /* A K type's last tile may end behind any of its sub-blocks. */
    uint32_t rule;
    ash_dtype type = output_type_by(p, row->role, layer, t, &rule);
    if (rule < p->recipe->rule_count)
        p->used[rule] = true;
    if (type != t->dtype && !ash_encodable(type))
        return FAIL(p, ASH_E_UNSUPPORTED, "%s: tensor %s cannot become %s; choose keep, " ASH_ENCODABLE_NAMES,
                    p->source->path, t->name, ash_dtype_name(type));
    const ash_dtype_info *to = ash_dtype_find(type);
    uint32_t unit = to->block_elems < SUB_BLOCK_MAX ? to->block_elems : SUB_BLOCK_MAX;
    if (t->dims[0] % unit != 0)
        return FAIL(p, ASH_E_UNSUPPORTED, "%s: tensor %s has %" PRIu64 " columns, which is no multiple of the %" PRIu32
                    " that share a scale in %s; choose another --type, or --tensor '%s=TYPE'", p->source->path, t->name,
                    t->dims[0], unit, to->name, t->name);
    return ASH_OK;
}

static bool source_name(const ash_planner *p, ash_role role, uint32_t layer, char out[128])
{
    const ash_arch_tensor *row = ash_arch_tensor_of(role);
    const char *pattern = p->source->kind == ASH_SOURCE_HF ? row->hf : row->gguf;
    return pattern && ash_arch_name(pattern, layer, out, 128);
}

/* The source's tensor of a role, or NULL; no checks. */
static const ash_source_tensor *lookup(const ash_planner *p, ash_role role, uint32_t layer)
{
    char name[128];
    return source_name(p, role, layer, name) ? ash_source_find(p->source, name) : NULL;
}

/* The tensor of a role with every check; *out is NULL only where it need not be there. */
static ash_status take(ash_planner *p, ash_role role, uint32_t layer, bool required, const ash_source_tensor **out)
{
    const ash_arch_tensor *row = ash_arch_tensor_of(role);
    char name[128], place[512];
    *out = lookup(p, role, layer);
    if (!*out && !required)
        return ASH_OK;
    if (!*out) {
        source_name(p, role, layer, name);
        if (layer == ASH_NO_LAYER)
            return FAIL(p, ASH_E_FORMAT, "%s: tensor %s is missing", p->source->path, name);
        return FAIL(p, ASH_E_FORMAT, "%s: %s is %" PRIu32 ", but tensor %s is missing", where(p, place),
                    p->source->kind == ASH_SOURCE_HF ? "num_hidden_layers" : "block_count", p->import->h.layers, name);
    }
    ASH_TRY(check_shape(p, row, *out));
    return check_type(p, row, layer, *out);
}

/* ---- tensors of the architecture ---- */

static void set_row_order(const ash_planner *p, ash_role role, ash_member_record *m)
{
    if (!ash_arch_tensor_of(role)->rotated || p->import->row_order == ASH_ROWS_SAME)
        return;
    m->row_order = p->import->row_order;
    m->row_order_head = p->import->h.head_dim;
    m->row_order_rope = p->import->h.rope_dim;
}

static ash_status add_vector(ash_planner *p, ash_role role, uint32_t layer, bool required)
{
    const ash_source_tensor *t = NULL;
    ASH_TRY(take(p, role, layer, required, &t));
    if (!t)
        return ASH_OK;
    char name[128];
    ash_arch_name(ash_arch_tensor_of(role)->name, layer, name, sizeof name);
    ash_tensor_record record = { .role = role, .layer = layer, .dtype = (uint16_t)t->dtype, .dim_count = 1,
                                 .dims = { t->dims[0], 1, 1, 1 } };
    ASH_TRY(ash_plan_tensor_add(p, name, &record));
    ash_plan_member m = { .record = { .role = role, .row_count = 1, .panel_step = 1, .scale_weight = ASH_NO_INDEX,
                                      .scale_input = ASH_NO_INDEX } };
    set_row_order(p, role, &m.record);
    return ash_plan_member_add(p, t, &m);
}

/* One tensor from one or several matrices with the same columns: rows one after another (panel_step 1), or panel by
 * panel (panel_step 2). */
static ash_status add_matrices(ash_planner *p, const char *pattern, ash_role role, uint32_t layer, uint32_t count,
                               const ash_source_tensor *const parts[], const ash_role roles[], uint32_t panel_step)
{
    char name[128];
    ash_arch_name(pattern, layer, name, sizeof name);
    ash_dtype type = output_type(p, roles[0], layer, parts[0]);
    ash_plan_member members[3] = { 0 };
    uint64_t rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        ash_member_record *m = &members[i].record;
        m->role = roles[i];
        m->row_first = panel_step == 2 ? (uint64_t)ASH_PANEL_ROWS * i : rows;
        m->row_count = parts[i]->dims[1];
        m->panel_step = panel_step;
        set_row_order(p, roles[i], m);
        /* Scales come ahead of their weight. A failure after this loses members[i].scale to the plan: see below. */
        bool fp8 = type == ASH_F8_E4M3;
        ash_status status = fp8 && parts[i]->dtype != ASH_F8_E4M3
                                ? ash_plan_made_scale(p, parts[i], name, layer, &members[i])
                                : ash_plan_scales(p, parts[i], name, layer, fp8, &members[i]);
        if (status != ASH_OK) {
            for (uint32_t j = 0; j < i; j++)
                free(members[j].scale);
            return status;
        }
        rows += parts[i]->dims[1];
    }
    ash_tensor_record record = { .role = role, .layer = layer, .dtype = (uint16_t)type, .dim_count = 2,
                                 .layout = ash_tile_layout_of(type)->id, .dims = { parts[0]->dims[0], rows, 1, 1 } };
    ash_status status = ash_plan_tensor_add(p, name, &record);
    for (uint32_t i = 0; i < count; i++) {
        if (status == ASH_OK)
            status = ash_plan_member_add(p, parts[i], &members[i]);
        if (status != ASH_OK)
            free(members[i].scale); /* the plan did not take it */
    }
    return status;
}

static ash_status add_matrix(ash_planner *p, ash_role role, uint32_t layer, const ash_source_tensor *t)
{
    return add_matrices(p, ash_arch_tensor_of(role)->name, role, layer, 1, &t, &role, 1);
}

static ash_status take_matrix(ash_planner *p, ash_role role, uint32_t layer)
{
    const ash_source_tensor *t = NULL;
    ASH_TRY(take(p, role, layer, true, &t));
    return add_matrix(p, role, layer, t);
}

/* Matrices share a tensor when they have one type, are not FP8 (each has its own scale), and no panel has rows of
 * both. */
static bool fusable(const ash_planner *p, uint32_t layer, const ash_role roles[2], const ash_source_tensor *const t[2])
{
    ash_dtype type = output_type(p, roles[0], layer, t[0]);
    return type == output_type(p, roles[1], layer, t[1]) && type != ASH_F8_E4M3 &&
           t[0]->dims[1] % ASH_PANEL_ROWS == 0;
}

static ash_status add_attention(ash_planner *p, uint32_t layer)
{
    static const ash_role roles[] = { ASH_ROLE_Q, ASH_ROLE_K, ASH_ROLE_V };
    const ash_source_tensor *t[3] = { NULL };
    for (int i = 0; i < 3; i++)
        ASH_TRY(take(p, roles[i], layer, true, &t[i]));
    uint32_t fused = !fusable(p, layer, roles, t) ? 1 : !fusable(p, layer, roles + 1, t + 1) ? 2 : 3;
    if (fused > 1)
        ASH_TRY(add_matrices(p, fused == 3 ? "layers.#.qkv" : "layers.#.qk", ASH_ROLE_QKV, layer, fused, t, roles, 1));
    for (uint32_t i = fused > 1 ? fused : 0; i < 3; i++)
        ASH_TRY(add_matrix(p, roles[i], layer, t[i]));
    ASH_TRY(add_vector(p, ASH_ROLE_Q_BIAS, layer, false));
    ASH_TRY(add_vector(p, ASH_ROLE_K_BIAS, layer, false));
    ASH_TRY(add_vector(p, ASH_ROLE_V_BIAS, layer, false));
    if (p->import->h.qk_norm) {
        ASH_TRY(add_vector(p, ASH_ROLE_Q_NORM, layer, true));
        ASH_TRY(add_vector(p, ASH_ROLE_K_NORM, layer, true));
    }
    ASH_TRY(ash_plan_cache_scales(p, layer));
    ASH_TRY(take_matrix(p, ASH_ROLE_O, layer));
    return add_vector(p, ASH_ROLE_O_BIAS, layer, false);
}

static ash_status add_feed_forward(ash_planner *p, uint32_t layer)
{
    static const ash_role roles[] = { ASH_ROLE_GATE, ASH_ROLE_UP };
    const ash_source_tensor *t[2] = { NULL };
    for (int i = 0; i < 2; i++)
        ASH_TRY(take(p, roles[i], layer, true, &t[i]));
    if (fusable(p, layer, roles, t)) {
        ASH_TRY(add_matrices(p, "layers.#.gate_up", ASH_ROLE_GATE_UP, layer, 2, t, roles, 2));
    } else {
        ASH_TRY(add_matrix(p, ASH_ROLE_GATE, layer, t[0]));
        ASH_TRY(add_matrix(p, ASH_ROLE_UP, layer, t[1]));
    }
    return take_matrix(p, ASH_ROLE_DOWN, layer);
}

/* ---- what the model has as a whole ---- */

/* Biases and norms that an architecture may have: in all layers or in none, as the configuration says where it does. */
static ash_status check_presence(ash_planner *p, ash_role role, bool follows_bias, bool *has)
{
    ash_presence presence = ash_arch_has(p->import->arch, role);
    if (presence == ASH_NEVER)
        return ASH_OK; /* one that is there is refused with the tensors outside the architecture */
    ash_said said = follows_bias ? p->import->attention_bias : ASH_SAID_NOTHING;
    const ash_source_tensor *first = lookup(p, role, 0);
    char name[128], place[512];
    if (presence != ASH_ALWAYS && said == ASH_SAID_NO && first)
        return FAIL(p, ASH_E_FORMAT, "%s: attention_bias is false, but there is a tensor %s", where(p, place),
                    first->name);
    bool expected = presence == ASH_ALWAYS || said == ASH_SAID_YES || first != NULL;
    for (uint32_t layer = 0; layer < p->import->h.layers; layer++) {
        if ((lookup(p, role, layer) != NULL) == expected)
            continue;
        source_name(p, role, layer, name);
        return FAIL(p, ASH_E_FORMAT, "%s: tensor %s %s", p->source->path, name,
                    expected ? "is missing" : "has no counterpart in layer 0");
    }
    *has = expected;
    return ASH_OK;
}

static ash_status check_whole(ash_planner *p)
{
    ash_hparams *h = &p->import->h;
    bool hf = p->source->kind == ASH_SOURCE_HF, k_bias = false, v_bias = false, o_bias = false, k_norm = false;
    char place[512];
    for (uint32_t i = 0; i < p->source->count; i++) {
        const char *name = p->source->tensors[i].name;
        uint32_t layer = ash_arch_layer_of(name, hf);
        if (layer != ASH_NO_LAYER && layer >= h->layers)
            return FAIL(p, ASH_E_FORMAT, "%s: %s is %" PRIu32 ", but there is a tensor %s", where(p, place),
                        hf ? "num_hidden_layers" : "block_count", h->layers, name);
    }
    if (p->import->row_order == ASH_ROWS_HALVES && h->head_dim % 2 != 0)
        return FAIL(p, ASH_E_UNSUPPORTED, "%s: heads of %" PRIu32 " rows are not supported; an even number is",
                    where(p, place), h->head_dim);
    ASH_TRY(check_presence(p, ASH_ROLE_Q_BIAS, true, &h->qkv_bias));
    ASH_TRY(check_presence(p, ASH_ROLE_K_BIAS, true, &k_bias));
    ASH_TRY(check_presence(p, ASH_ROLE_V_BIAS, true, &v_bias));
    if (k_bias != h->qkv_bias || v_bias != h->qkv_bias)
        return FAIL(p, ASH_E_FORMAT, "%s: q, k and v must all have biases, or none of them", p->source->path);
    /* qwen2's configuration has no such key, and its o_proj has none. */
    ASH_TRY(check_presence(p, ASH_ROLE_O_BIAS, p->import->arch->qkv_bias != ASH_ALWAYS, &o_bias));
    ASH_TRY(check_presence(p, ASH_ROLE_Q_NORM, false, &h->qk_norm));
    ASH_TRY(check_presence(p, ASH_ROLE_K_NORM, false, &k_norm)); /* both or neither, as the architecture says */
    bool head = lookup(p, ASH_ROLE_OUTPUT, ASH_NO_LAYER) != NULL;
    h->tied_output = !head || p->import->tied == ASH_SAID_YES;
    if (!head && p->import->tied == ASH_SAID_NO)
        return FAIL(p, ASH_E_FORMAT, "%s: tie_word_embeddings is false, but tensor lm_head.weight is missing",
                    where(p, place));
    return ASH_OK;
}

/* ---- the rest ---- */

static ash_status add_raw(ash_planner *p, const ash_source_tensor *t)
{
    const char *refused = ash_arch_refused(t->name, p->source->kind == ASH_SOURCE_HF);
    if (refused)
        return FAIL(p, ASH_E_UNSUPPORTED, "%s: tensor %s (%s) is not supported for architecture %s", p->source->path,
                    t->name, refused, p->import->arch->name);
    if (t->dim_count > 4)
        return FAIL(p, ASH_E_UNSUPPORTED, "%s: tensor %s has %" PRIu32 " dimensions; up to 4 are supported",
                    p->source->path, t->name, t->dim_count);
    char name[ASH_NAME_MAX + 16];
    int n = snprintf(name, sizeof name, "other.%s", t->name);
    if (n < 0 || n > ASH_NAME_MAX)
        return FAIL(p, ASH_E_LIMIT, "%s: tensor name %.60s... is too long", p->source->path, t->name);
    ash_tensor_record record = { .role = ASH_ROLE_OTHER, .layer = ASH_NO_LAYER, .dtype = (uint16_t)t->dtype,
                                 .dim_count = (uint16_t)(t->dim_count ? t->dim_count : 1) };
    for (uint32_t d = 0; d < 4; d++)
        record.dims[d] = t->dims[d];
    ASH_TRY(ash_plan_tensor_add(p, name, &record));
    if (p->plan->tensors[p->plan->tensor_count - 1].record.size != t->size)
        return FAIL(p, ASH_E_UNSUPPORTED, "%s: tensor %s of type %s has rows that do not fill whole blocks",
                    p->source->path, t->name, ash_dtype_name(t->dtype));
    ash_plan_member m = { .record = { .role = ASH_ROLE_OTHER, .row_count = record.dims[1], .panel_step = 1,
                                      .scale_weight = ASH_NO_INDEX, .scale_input = ASH_NO_INDEX } };
    p->plan->raw_count++;
    return ash_plan_member_add(p, t, &m);
}

typedef struct notes {
    ash_note_fn *fn;
    void *context;
} notes;

static void __attribute__((format(printf, 2, 3))) say(const notes *n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ash_note(n->fn, n->context, format, args);
    va_end(args);
}

/* Everything that nothing has claimed, in the source's order. */
static ash_status add_rest(ash_planner *p, const notes *n)
{
    char names[300] = "";
    uint32_t derived = 0;
    bool tied = p->import->h.tied_output;
    for (uint32_t i = 0; i < p->source->count; i++) {
        const ash_source_tensor *t = &p->source->tensors[i];
        if (p->claimed[i])
            continue;
        if (tied && t == lookup(p, ASH_ROLE_OUTPUT, ASH_NO_LAYER)) {
            say(n, "left out %s: tie_word_embeddings is true, so the embedding serves as output", t->name);
            continue;
        }
        if (p->source->kind == ASH_SOURCE_HF && ash_arch_derived(t->name)) {
            derived++;
            continue;
        }
        ASH_TRY(add_raw(p, t));
        if (p->plan->raw_count <= 4) {
            size_t at = strlen(names);
            snprintf(names + at, sizeof names - at, "%s%.60s", at ? ", " : "", t->name);
        }
    }
    if (derived)
        say(n, "left out %" PRIu32 " rotary_emb.inv_freq buffers: they follow from the configuration", derived);
    if (p->plan->raw_count)
        say(n, "kept %" PRIu32 " tensors outside the architecture as they are, unused: %s%s", p->plan->raw_count, names,
            p->plan->raw_count > 4 ? ", ..." : "");
    return ASH_OK;
}

static bool lossy(uint32_t dtype) { return dtype == ASH_F8_E4M3 || ash_dtype_find(dtype)->block_elems > 1; }

static void say_types(const ash_planner *p, const notes *n)
{
    if (p->scales_dropped)
        say(n, "FP8 weights take another type: %" PRIu32 " scale tensors are worked in and left out",
            p->scales_dropped);
    uint32_t again = 0;
    for (uint32_t i = 0; i < p->plan->tensor_count; i++) {
        const ash_plan_tensor *t = &p->plan->tensors[i];
        for (uint32_t m = 0; m < t->member_count; m++) {
            uint32_t from = p->plan->members[t->member_first + m].source->dtype;
            again += from != t->record.dtype && lossy(from) && lossy(t->record.dtype);
        }
    }
    if (again)
        say(n, "%" PRIu32 " matrices are already quantized and are quantized again: their errors add up", again);
}

static ash_status check_rules(ash_planner *p)
{
    for (uint32_t i = 0; i < p->recipe->rule_count; i++)
        if (!p->used[i])
            return FAIL(p, ASH_E_ARGUMENT, "%s: --tensor '%.200s' names no matrix, or none that a rule before it does "
                        "not; 'ashlar inspect --tensors' shows the names", p->source->path, p->recipe->rules[i].text);
    return ASH_OK;
}

/* Bytes up to the end of the data, as the writer lays the file out: header, records and names, then aligned tensors. */
static ash_status measure(ash_planner *p)
{
    ash_plan *plan = p->plan;
    uint64_t at = ASH_HEADER_BYTES + (uint64_t)plan->tensor_count * sizeof(ash_tensor_record);
    bool fits = ash_round_up(at, 64, &at) && ash_add(at, plan->member_count * sizeof(ash_member_record), &at) &&
                ash_round_up(at, 64, &at);
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        at += strlen(plan->tensors[i].name) + 1;
    for (uint32_t i = 0; i < plan->member_count; i++)
        at += strlen(plan->members[i].source->name) + 1;
    for (uint32_t i = 0; i < plan->tensor_count && fits; i++)
        fits = ash_round_up(at, ASH_TENSOR_ALIGN, &at) && ash_add(at, plan->tensors[i].record.size, &at);
    if (!fits || !ash_round_up(at, ASH_TENSOR_ALIGN, &at) || at > INT64_MAX)
        return FAIL(p, ASH_E_LIMIT, "%s: the output would have more than 2^63 bytes", p->source->path);
    plan->output_bytes = at;
    return ASH_OK;
}

static ash_status build(ash_planner *p, const notes *n)
{
    ASH_TRY(check_whole(p));
    ASH_TRY(take_matrix(p, ASH_ROLE_EMBED, ASH_NO_LAYER));
    ASH_TRY(add_vector(p, ASH_ROLE_ROPE_FREQS, ASH_NO_LAYER, false));
    for (uint32_t layer = 0; layer < p->import->h.layers; layer++) {
        ASH_TRY(add_vector(p, ASH_ROLE_ATTN_NORM, layer, true));
        ASH_TRY(add_attention(p, layer));
        ASH_TRY(add_vector(p, ASH_ROLE_FFN_NORM, layer, true));
        ASH_TRY(add_feed_forward(p, layer));
    }
    ASH_TRY(add_vector(p, ASH_ROLE_OUTPUT_NORM, ASH_NO_LAYER, true));
    if (!p->import->h.tied_output)
        ASH_TRY(take_matrix(p, ASH_ROLE_OUTPUT, ASH_NO_LAYER));
    ASH_TRY(check_rules(p));
    ASH_TRY(add_rest(p, n));
    say_types(p, n);
    return measure(p);
}

ash_status ash_plan_build(const ash_source *source, ash_import *import, const ash_recipe *recipe,
                          const ash_convert_guide *guide, ash_note_fn *note, void *context, ash_plan *out,
                          ash_error *err)
{
    *out = (ash_plan){ 0 };
    ash_planner p = { .source = source, .import = import, .plan = out, .recipe = recipe, .guide = guide, .err = err };
    p.claimed = calloc(source->count, sizeof *p.claimed);
    ash_status status = p.claimed ? build(&p, &(notes){ note, context })
                                  : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", source->path);
    free(p.claimed);
    if (status != ASH_OK)
        ash_plan_free(out);
    return status;
}
