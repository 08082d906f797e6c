/* Models by their shapes, and the launches of a token and of a prompt in the order of runtime/hip/: what of a layer one
 * kernel takes is one launch. Layers that launch the same are counted once. */
#include <math.h>
#include <string.h>

#include "format/container.h"
#include "format/tile.h"
#include "kernels/kernels.h"
#include "tests/gfx12/roofline/roofline.h"

#define SHAPE(arch, layers_, hidden_, ffn_, heads_, kv, dim, vocab_, bias)                                      \
    { .architecture = arch, .layers = layers_, .hidden = hidden_, .ffn = ffn_, .heads = heads_, .kv_heads = kv, \
      .head_dim = dim, .rope_dim = dim, .vocab = vocab_, .qkv_bias = bias, .norm_eps = 1e-5f, .context = 8192 }
const roof_model roof_models[] = {
    { "llama-8b", SHAPE("llama", 32, 4096, 14336, 32, 8, 128, 128256, false) }, /* Llama 3 8B */
    { "qwen-7b", SHAPE("qwen2", 28, 3584, 18944, 28, 4, 128, 152064, true) },   /* Qwen2.5 7B */
    { "llama-1b", SHAPE("llama", 16, 2048, 8192, 32, 8, 64, 128256, false) },   /* Llama 3.2 1B, output of its own */
};
const roof_model roof_heads[] = {
    { "phi-2", SHAPE("llama", 1, 2560, 64, 32, 32, 80, 64, false) },
    { "phi-3", SHAPE("llama", 1, 3072, 64, 32, 32, 96, 64, false) }, /* mini */
    { "wide", SHAPE("llama", 1, 4096, 64, 16, 8, 256, 64, false) },
};
const uint32_t roof_heads_count = sizeof roof_heads / sizeof *roof_heads;
const uint32_t roof_model_count = sizeof roof_models / sizeof *roof_models;
const char *const roof_types[] = { "q4_k_m", "q4_k", "fp8", "q8_0", "bf16" };
const uint32_t roof_type_count = sizeof roof_types / sizeof *roof_types;

/* ---- matrices ---- */

ash_dtype roof_type(const ash_hparams *h, const char *recipe, uint32_t role, uint32_t layer)
{
    const char *const names[3] = { NULL };
    ash_recipe r;
    uint32_t rule;
    if (!ash_recipe_named(recipe, &r))
        return ASH_DTYPE_COUNT;
    uint32_t type = ash_recipe_type(&r, h, role, layer, names, &rule);
    return type == ASH_TYPE_KEEP ? ASH_BF16 : (ash_dtype)type;
}

static uint64_t rows_of(const ash_hparams *h, uint32_t role)
{
    switch (role) {
    case ASH_ROLE_Q: return (uint64_t)h->heads * h->head_dim;
    case ASH_ROLE_K:
    case ASH_ROLE_V: return (uint64_t)h->kv_heads * h->head_dim;
    case ASH_ROLE_GATE:
    case ASH_ROLE_UP: return h->ffn;
    case ASH_ROLE_EMBED:
    case ASH_ROLE_OUTPUT: return h->vocab;
    default: return h->hidden;
    }
}

static uint64_t cols_of(const ash_hparams *h, uint32_t role)
{
    return role == ASH_ROLE_O ? (uint64_t)h->heads * h->head_dim : role == ASH_ROLE_DOWN ? h->ffn : h->hidden;
}

uint64_t roof_weight_bytes(const ash_hparams *h, const char *recipe)
{
    static const uint32_t roles[] = { ASH_ROLE_Q, ASH_ROLE_K, ASH_ROLE_V, ASH_ROLE_O, ASH_ROLE_GATE, ASH_ROLE_UP,
                                      ASH_ROLE_DOWN, ASH_ROLE_EMBED, ASH_ROLE_OUTPUT };
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        bool once = roles[i] == ASH_ROLE_EMBED || roles[i] == ASH_ROLE_OUTPUT;
        for (uint32_t layer = 0; layer < (once ? 1 : h->layers); layer++) {
            uint64_t bytes = 0;
            (void)ash_tiled_bytes(roof_type(h, recipe, roles[i], layer), rows_of(h, roles[i]), cols_of(h, roles[i]),
                                  &bytes);
            sum += bytes;
        }
    }
    return sum;
}

/* ---- building launches ---- */

#define SAMPLE 4 /* workgroups that are counted where all do the same */

typedef struct builder {
    const ash_hparams *h;
    const char *recipe;
    uint32_t layer, tokens, pos, context;
    uint32_t streams; /* sequences, a token each; 0: one sequence of all tokens */
    bool fp8_cache;
    roof_list *list;
} builder;

static roof_launch start(const char *what, ash_gfx_op op, ash_dtype dtype, uint32_t variant, uint32_t sample)
{
    roof_launch l = { .what = what, .op = op, .dtype = dtype, .sample = sample, .times = 1,
                      .kernel = ash_gfx_kernel_find(op, dtype, variant) };
    return l;
}

static roof_buffer *buffer(roof_launch *l, const char *name, uint64_t bytes, uint64_t at, roof_fill fill)
{
    roof_buffer *b = &l->buffers[l->buffer_count++];
    *b = (roof_buffer){ .name = name, .bytes = (bytes + 15) / 16 * 16, .at = (uint32_t)at, .fill = fill };
    return b;
}

static bool same(const roof_launch *a, const roof_launch *b)
{
    return strcmp(a->what, b->what) == 0 && a->kernel == b->kernel && a->op == b->op && a->dtype == b->dtype &&
           memcmp(&a->args, &b->args, sizeof a->args) == 0;
}

static void push(roof_list *list, const roof_launch *l)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (same(&list->launch[i], l)) {
            list->launch[i].times++;
            return;
        }
    if (list->count == ROOF_LAUNCHES)
        list->overflow = true;
    else
        list->launch[list->count++] = *l;
}

/* ---- products ---- */

typedef struct member { uint32_t role, y_first; } member;

static const char *name_of(uint32_t role)
{
    switch (role) {
    case ASH_ROLE_Q: return "q";
    case ASH_ROLE_K: return "k";
    case ASH_ROLE_V: return "v";
    case ASH_ROLE_O: return "o";
    case ASH_ROLE_GATE: return "gate up";
    case ASH_ROLE_DOWN: return "down";
    default: return "output";
    }
}

static const char *joined(const char *a, const char *b)
{
    return strcmp(b, "k") == 0 ? "q k" : strcmp(a, "q k") == 0 ? "q k v" : strcmp(a, "q") == 0 ? "q v" : "k v";
}

/* Arguments and buffers of part p; its struct lies `at` bytes into the arguments. */
static void add_part(const builder *b, roof_launch *l, ash_gfx_part *p, uint64_t at, member m)
{
    ash_dtype dtype = roof_type(b->h, b->recipe, m.role, b->layer);
    uint64_t rows = rows_of(b->h, m.role), cols = cols_of(b->h, m.role), bytes = 0;
    (void)ash_panel_bytes(dtype, cols, &bytes);
    *p = (ash_gfx_part){ .dtype = dtype, .panels = (uint32_t)((rows + 15) / 16), .panel_bytes = (uint32_t)bytes,
                         .y_first = m.y_first, .y_panel_stride = 16,
                         .scale_kind = dtype == ASH_F8_E4M3 ? ASH_SCALE_TENSOR : ASH_SCALE_NONE };
    if (dtype == ASH_F8_E4M3)
        buffer(l, "scale", 4, at + offsetof(ash_gfx_part, scale), ROOF_FLOATS);
    if (b->h->qkv_bias && (m.role == ASH_ROLE_Q || m.role == ASH_ROLE_K || m.role == ASH_ROLE_V))
        buffer(l, "bias", p->panels * 64u, at + offsetof(ash_gfx_part, bias), ROOF_FLOATS);
    l->weights += (double)(rows * cols);
    l->products += (double)(rows * cols) * b->tokens;
}

static void add_weights(roof_launch *l, const ash_gfx_part *p, uint64_t at)
{
    buffer(l, "weights", (uint64_t)p->panels * p->panel_bytes, at + offsetof(ash_gfx_part, data), ROOF_ZERO);
}

/* Gate and up: one stream of panels in turn. */
static void add_gate_up(const builder *b, roof_launch *l, ash_gfx_part *part, uint64_t at)
{
    add_part(b, l, &part[0], at, (member){ ASH_ROLE_GATE, 0 });
    add_part(b, l, &part[1], at + sizeof *part, (member){ ASH_ROLE_UP, 0 });
    roof_buffer *w = buffer(l, "weights", 2 * (uint64_t)part->panels * part->panel_bytes,
                            at + offsetof(ash_gfx_part, data), ROOF_ZERO);
    w->also = (uint32_t)(at + sizeof *part + offsetof(ash_gfx_part, data));
    w->also_bytes = part->panel_bytes;
    part[0].panel_bytes *= 2;
    part[1].panel_bytes *= 2;
}

static uint32_t stride_of(uint64_t cols) { return (uint32_t)ash_pad_cols((int64_t)cols); }

typedef struct shape_of { ash_gfx_kind kind; bool norm; uint32_t y_stride; } shape_of;

/* Members that one kernel takes, from the first that is not done. */
static uint32_t take(const builder *b, ash_gfx_op op, uint32_t variant, const member *m, uint32_t count, bool *done,
                     member *out)
{
    const ash_gfx_kernel *k = NULL;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < count; i++) {
        const ash_gfx_kernel *other = ash_gfx_kernel_find(op, roof_type(b->h, b->recipe, m[i].role, b->layer), variant);
        if (done[i] || (taken && (!k || !other || strcmp(k->symbol, other->symbol) != 0)))
            continue;
        k = other;
        done[i] = true;
        out[taken++] = m[i];
    }
    return taken;
}

static roof_launch part_launch(const builder *b, ash_gfx_op op, uint32_t variant, shape_of s, const member *m,
                               uint32_t count, ash_gfx_part *part, uint64_t at)
{
    roof_launch l = start(name_of(m->role), op, roof_type(b->h, b->recipe, m->role, b->layer), variant, SAMPLE);
    if (s.kind == ASH_GFX_SWIGLU) {
        add_gate_up(b, &l, part, at);
        return l;
    }
    for (uint32_t i = 0; i < count; i++) {
        l.what = i == 0 ? l.what : joined(l.what, name_of(m[i].role));
        add_part(b, &l, &part[i], at + i * sizeof *part, m[i]);
        add_weights(&l, &part[i], at + i * sizeof *part);
    }
    return l;
}

/* Workgroups to count, so that every part has its share of them: at equal distances that divide each part. panels: of a
 * workgroup. */
static uint32_t sample_of(const ash_gfx_part *part, uint32_t count, uint32_t panels)
{
    uint32_t distance = 0, all = 0;
    for (uint32_t p = 0; p < count; p++) {
        uint32_t groups = (part[p].panels + panels - 1) / panels, rest = groups;
        all += groups;
        while (rest) { /* the greatest common divisor */
            uint32_t left = distance % rest;
            distance = rest;
            rest = left;
        }
    }
    return all / distance > SAMPLE ? all / distance : SAMPLE;
}

static void decode_launch(const builder *b, shape_of s, const member *m, uint32_t count)
{
    ash_gfx_decode a = { .part_count = s.kind == ASH_GFX_SWIGLU ? 2 : count, .kind = s.kind, .tokens = b->tokens,
                         .cols = (uint32_t)cols_of(b->h, m->role), .y_stride = s.y_stride, .eps = b->h->norm_eps };
    a.x_stride = stride_of(a.cols);
    roof_launch l = part_launch(b, ASH_GFX_OP_DECODE, b->tokens, s, m, count, a.part, offsetof(ash_gfx_decode, part));
    buffer(&l, "x", (uint64_t)b->tokens * a.x_stride * 4, offsetof(ash_gfx_decode, x), ROOF_FLOATS);
    if (s.norm)
        buffer(&l, "norm", a.x_stride * UINT64_C(4), offsetof(ash_gfx_decode, norm), ROOF_FLOATS);
    buffer(&l, "y", (uint64_t)b->tokens * a.y_stride * 4, offsetof(ash_gfx_decode, y), ROOF_FLOATS);
    l.args.decode = a;
    l.sample = count > 1 ? sample_of(a.part, count, 2) : SAMPLE;
    l.grid = ash_gfx_decode_grid(&a);
    push(b->list, &l);
}

/* Inputs of a product: what rounds them, and whether they lie there already. */
typedef struct inputs_of { ash_gfx_form form; uint32_t cols; bool norm, made; } inputs_of;

static bool in_groups(inputs_of in) { return ash_gfx_in_groups(in.form, 0); }

/* The arguments, which lie `at` bytes into the launch's, and their buffers without x. */
static ash_gfx_inputs inputs_args(const builder *b, roof_launch *l, inputs_of in, uint64_t at)
{
    uint64_t scales = 4 * ash_gfx_inputs_scales(in.cols, b->tokens);
    if (in.norm)
        buffer(l, "norm", stride_of(in.cols) * UINT64_C(4), at + offsetof(ash_gfx_inputs, norm), ROOF_FLOATS);
    buffer(l, "tiles", ash_gfx_inputs_bytes(in.form, in.cols, b->tokens), at + offsetof(ash_gfx_inputs, out),
           ROOF_ZERO);
    if (in_groups(in))
        buffer(l, "tile scales", scales, at + offsetof(ash_gfx_inputs, scale), ROOF_ZERO);
    if (in_groups(in) && in.norm)
        buffer(l, "tile squares", scales, at + offsetof(ash_gfx_inputs, squares), ROOF_ZERO);
    return (ash_gfx_inputs){ .form = in.form, .cols = in.cols, .tokens = b->tokens, .x_stride = stride_of(in.cols),
                             .eps = b->h->norm_eps };
}

static void inputs_launch(const builder *b, inputs_of in)
{
    roof_launch l = start("inputs", ASH_GFX_OP_INPUTS, ASH_DTYPE_COUNT, in.form, 4);
    buffer(&l, "x", (uint64_t)b->tokens * stride_of(in.cols) * 4, offsetof(ash_gfx_inputs, x), ROOF_FLOATS);
    l.args.inputs = inputs_args(b, &l, in, 0);
    l.grid = ash_gfx_inputs_grid(&l.args.inputs);
    push(b->list, &l);
}

/* Workgroups that begin and end with a group of columns. */
static uint32_t together_of(const ash_gfx_prefill *a)
{
    uint32_t group = ASH_GFX_GROUP / 16, width = a->kind == ASH_GFX_SWIGLU ? a->panels / 2 : a->panels;
    return group % width == 0 ? group / width : group;
}

/* next.cols 0: nothing of y is made into inputs. */
static void prefill_launch(const builder *b, shape_of s, const member *m, uint32_t count, inputs_of in, inputs_of next)
{
    ash_gfx_prefill a = { .part_count = s.kind == ASH_GFX_SWIGLU ? 2 : count, .kind = s.kind, .tokens = b->tokens,
                          .cols = in.cols, .y_stride = s.y_stride, .x_eps = b->h->norm_eps };
    uint64_t scales = 4 * ash_gfx_inputs_scales(in.cols, b->tokens);
    roof_launch l = part_launch(b, ASH_GFX_OP_PREFILL, 0, s, m, count, a.part, offsetof(ash_gfx_prefill, part));
    buffer(&l, "x", ash_gfx_inputs_bytes(in.form, in.cols, b->tokens), offsetof(ash_gfx_prefill, x),
           in.form >= ASH_GFX_F16 ? ROOF_HALVES : ROOF_CODES);
    if (in_groups(in))
        buffer(&l, "x scales", scales, offsetof(ash_gfx_prefill, x_scale), ROOF_SCALES);
    if (in_groups(in) && in.norm)
        buffer(&l, "x squares", scales, offsetof(ash_gfx_prefill, x_squares), ROOF_SCALES);
    roof_buffer *y = buffer(&l, "y", (uint64_t)b->tokens * a.y_stride * 4, offsetof(ash_gfx_prefill, y), ROOF_FLOATS);
    a.panels = ash_gfx_prefill_panels(a);
    l.kernel = ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, l.dtype, a.panels);
    if (next.cols) {
        y->also = offsetof(ash_gfx_prefill, next.x);
        a.next = inputs_args(b, &l, next, offsetof(ash_gfx_prefill, next));
        buffer(&l, "done", 4 * ash_gfx_prefill_done(next.cols, b->tokens), offsetof(ash_gfx_prefill, done), ROOF_ZERO);
        l.together = together_of(&a);
    }
    l.args.prefill = a;
    l.grid = ash_gfx_prefill_grid(&a);
    if (count > 1)
        l.sample = sample_of(a.part, count, a.panels);
    if (l.together) /* for two blocks of tokens: each has inputs of its own */
        l.sample = l.together * (l.grid.x < 2 ? 1 : 2);
    push(b->list, &l);
}

/* Inputs for all of these members, if one rounding serves them all. */
static inputs_of inputs_for(const builder *b, uint32_t layer, const member *m, uint32_t count, bool norm)
{
    ash_gfx_form form = ash_gfx_form_of(roof_type(b->h, b->recipe, m->role, layer));
    inputs_of in = { form, (uint32_t)cols_of(b->h, m->role), norm, true };
    for (uint32_t i = 1; i < count; i++)
        if (ash_gfx_form_of(roof_type(b->h, b->recipe, m[i].role, layer)) != in.form)
            return (inputs_of){ 0 };
    return norm && !in_groups(in) ? (inputs_of){ 0 } : in;
}

/* `in`: what the product before has left; `next`: what this one leaves. */
static void product(const builder *b, shape_of s, const member *m, uint32_t count, inputs_of in, inputs_of next)
{
    bool done[ASH_GFX_PARTS] = { false }, decode = b->tokens <= ASH_GFX_DECODE_TOKENS;
    for (uint32_t left = count; left;) {
        member taken[ASH_GFX_PARTS];
        uint32_t n = take(b, decode ? ASH_GFX_OP_DECODE : ASH_GFX_OP_PREFILL, decode ? b->tokens : 0, m, count, done,
                          taken);
        ash_gfx_form wanted = ash_gfx_form_of(roof_type(b->h, b->recipe, taken->role, b->layer));
        left -= n;
        if (decode) {
            decode_launch(b, s, taken, n);
            continue;
        }
        if (!in.made || in.form != wanted) {
            in = (inputs_of){ wanted, (uint32_t)cols_of(b->h, m->role), s.norm, true };
            inputs_launch(b, in);
        }
        prefill_launch(b, s, taken, n, in, next);
    }
}

/* ---- attention ---- */

static ash_gfx_attend attend_args(const builder *b)
{
    const ash_hparams *h = b->h;
    uint32_t q = h->heads * h->head_dim, kv = h->kv_heads * h->head_dim;
    uint32_t rows = (b->context + ASH_GFX_CACHE_ROWS - 1) / ASH_GFX_CACHE_ROWS * ASH_GFX_CACHE_ROWS;
    return (ash_gfx_attend){
        .cache = { .head_stride = (uint64_t)rows * h->head_dim, .stride = h->head_dim, .rows = rows,
                   .fp8 = b->fp8_cache, .k_scale = 1, .v_scale = 1 },
        .qkv_stride = stride_of(q + 2 * kv), .k_first = q, .v_first = q + kv, .out_stride = stride_of(q),
        .heads = h->heads, .kv_heads = h->kv_heads, .head_dim = h->head_dim, .rope_dim = h->rope_dim,
        .tokens = b->tokens,
        .splits = ash_gfx_attend_splits(h->kv_heads, b->context), .scale = 1 / sqrtf((float)h->head_dim),
        .eps = h->norm_eps,
    };
}

static void attend_buffers(const builder *b, roof_launch *l, const ash_gfx_attend *a)
{
    uint64_t cache = a->kv_heads * a->cache.head_stride * (a->cache.fp8 ? 1 : 2);
    uint64_t qkv = (uint64_t)b->tokens * a->qkv_stride * 4;
    buffer(l, "qkv", qkv, offsetof(ash_gfx_attend, qkv), ROOF_FLOATS);
    buffer(l, "angles", (uint64_t)b->context * a->rope_dim * 4, offsetof(ash_gfx_attend, angles), ROOF_FLOATS);
    roof_buffer *step = buffer(l, "step", sizeof(ash_gfx_step) + b->tokens * UINT64_C(4),
                               offsetof(ash_gfx_attend, step), ROOF_STEP);
    step->number = b->pos;
    buffer(l, "out", (uint64_t)b->tokens * a->out_stride * 4, offsetof(ash_gfx_attend, out), ROOF_ZERO);
    buffer(l, "parts", ash_gfx_attend_parts(a->heads, a->head_dim, a->splits) * 4, offsetof(ash_gfx_attend, parts),
           ROOF_ZERO);
    buffer(l, "done", a->heads * UINT64_C(4), offsetof(ash_gfx_attend, done), ROOF_ZERO);
    buffer(l, "keys", cache, offsetof(ash_gfx_attend, cache.k), a->cache.fp8 ? ROOF_CODES : ROOF_HALVES);
    buffer(l, "values", cache, offsetof(ash_gfx_attend, cache.v),
           a->cache.fp8 ? ROOF_CODES : ROOF_HALVES);
    l->args.attend = *a;
}

/* wanted: what the o product multiplies. Returns it if it lies there afterwards. */
static inputs_of attention(const builder *b, inputs_of wanted)
{
    if (b->streams) { /* each has a cache of its own */
        builder one = *b;
        one.streams = 0;
        one.tokens = 1;
        for (uint32_t i = 0; i < b->streams; i++)
            (void)attention(&one, wanted);
        return (inputs_of){ 0 };
    }
    inputs_of left = { 0 };
    const ash_hparams *h = b->h;
    ash_gfx_attend a = attend_args(b);
    bool decode = b->tokens <= ASH_GFX_DECODE_TOKENS;
    roof_launch l = start("attention", decode ? ASH_GFX_OP_ATTEND : ASH_GFX_OP_ATTEND_PREFILL, ASH_DTYPE_COUNT,
                          h->head_dim, decode ? 0 : 8);
    attend_buffers(b, &l, &a);
    if (!decode && wanted.cols && ash_gfx_attend_leaves(&a, wanted.form, 0)) {
        left = wanted;
        l.args.attend.next = inputs_args(b, &l, left, offsetof(ash_gfx_attend, next));
    }
    l.grid = decode ? ash_gfx_attend_grid(&a) : ash_gfx_attend_prefill_grid(&a);
    /* Every query with every key that it sees, and as many for the values. */
    l.products = 2.0 * h->heads * h->head_dim * b->tokens * (b->pos + (b->tokens + 1) / 2.0);
    if (!decode) {
        roof_launch store = start("cache", ASH_GFX_OP_KV_STORE, ASH_DTYPE_COUNT, 0, 0); /* V's have less to do */
        attend_buffers(b, &store, &a);
        store.grid = ash_gfx_kv_store_grid(&a);
        push(b->list, &store);
    }
    push(b->list, &l);
    return left;
}

/* ---- a pass ---- */

static void embed(const builder *b)
{
    const ash_hparams *h = b->h;
    ash_dtype dtype = roof_type(h, b->recipe, ASH_ROLE_EMBED, 0);
    roof_launch l = start("embedding", ASH_GFX_OP_EMBED, dtype, 0, 4);
    ash_gfx_embed a = { .cols = h->hidden, .rows = h->vocab, .tokens = b->tokens, .x_stride = stride_of(h->hidden) };
    add_part(b, &l, &a.table, offsetof(ash_gfx_embed, table), (member){ ASH_ROLE_EMBED, 0 });
    add_weights(&l, &a.table, offsetof(ash_gfx_embed, table));
    l.weights = l.products = 0;
    buffer(&l, "step", sizeof(ash_gfx_step) + b->tokens * UINT64_C(4), offsetof(ash_gfx_embed, step), ROOF_STEP);
    buffer(&l, "x", (uint64_t)b->tokens * a.x_stride * 4, offsetof(ash_gfx_embed, x), ROOF_ZERO);
    l.args.embed = a;
    l.grid = ash_gfx_embed_grid(&a);
    push(b->list, &l);
}

static void arg_max(const builder *b)
{
    roof_launch l = start("arg max", ASH_GFX_OP_ARG_MAX, ASH_DTYPE_COUNT, 0, 0);
    buffer(&l, "logits", b->h->vocab * UINT64_C(4), offsetof(ash_gfx_sample, logits), ROOF_FLOATS);
    buffer(&l, "values", 16, offsetof(ash_gfx_sample, values), ROOF_ZERO);
    buffer(&l, "ids", 16, offsetof(ash_gfx_sample, ids), ROOF_ZERO);
    buffer(&l, "next", sizeof(ash_gfx_step) + 4, offsetof(ash_gfx_sample, next), ROOF_STEP);
    l.args.sample = (ash_gfx_sample){ .count = b->h->vocab, .k = 1, .temperature = 1 };
    l.grid = (ash_gfx_grid){ 1, 1, 1 };
    push(b->list, &l);
}

static void pass(builder *b)
{
    const ash_hparams *h = b->h;
    uint32_t q = h->heads * h->head_dim, kv = h->kv_heads * h->head_dim;
    const member qkv[] = { { ASH_ROLE_Q, 0 }, { ASH_ROLE_K, q }, { ASH_ROLE_V, q + kv } };
    const member o = { ASH_ROLE_O, 0 }, gate = { ASH_ROLE_GATE, 0 }, down = { ASH_ROLE_DOWN, 0 };
    const member output = { ASH_ROLE_OUTPUT, 0 };
    shape_of add = { ASH_GFX_ADD, false, stride_of(h->hidden) };
    inputs_of none = { 0 }, left = none; /* by a layer to the next one */
    embed(b);
    for (b->layer = 0; b->layer < h->layers; b->layer++) {
        inputs_of to_gate = inputs_for(b, b->layer, &gate, 1, true), to_down = inputs_for(b, b->layer, &down, 1, false);
        product(b, (shape_of){ ASH_GFX_STORE, true, stride_of(q + 2 * kv) }, qkv, 3, left, none);
        inputs_of to_o = attention(b, inputs_for(b, b->layer, &o, 1, false));
        left = b->layer + 1 < h->layers ? inputs_for(b, b->layer + 1, qkv, 3, true) : none;
        product(b, add, &o, 1, to_o, to_gate);
        product(b, (shape_of){ ASH_GFX_SWIGLU, true, stride_of(h->ffn) }, &gate, 1, to_gate, to_down);
        product(b, add, &down, 1, to_down, left);
    }
    b->layer = 0;
    b->tokens = b->streams ? b->streams : 1; /* the last one's logits */
    product(b, (shape_of){ ASH_GFX_STORE, true, stride_of(h->vocab) }, &output, 1, none, none);
    for (uint32_t i = 0; i < b->tokens; i++)
        arg_max(b);
}

void roof_pass(const ash_hparams *h, const char *recipe, uint32_t tokens, uint32_t context, roof_list *out)
{
    bool decode = tokens <= ASH_GFX_DECODE_TOKENS;
    builder b = { .h = h, .recipe = recipe, .tokens = tokens, .pos = decode ? context - tokens : 0,
                  .context = decode ? context : tokens, .list = out };
    *out = (roof_list){ .count = 0 };
    pass(&b);
}

void roof_streams(const ash_hparams *h, const char *recipe, uint32_t streams, uint32_t context, roof_list *out)
{
    builder b = { .h = h, .recipe = recipe, .tokens = streams, .pos = context - 1, .context = context,
                  .streams = streams, .list = out };
    *out = (roof_list){ .count = 0 };
    pass(&b);
}

void roof_decode(const ash_hparams *h, const char *recipe, uint32_t context, roof_list *out)
{
    roof_pass(h, recipe, 1, context, out);
}

void roof_prefill(const ash_hparams *h, const char *recipe, uint32_t tokens, roof_list *out)
{
    roof_pass(h, recipe, tokens, tokens, out);
}

void roof_layer(const ash_hparams *h, const char *recipe, uint32_t tokens, uint32_t context, roof_list *out)
{
    uint32_t kept = 0;
    roof_pass(h, recipe, tokens, context, out);
    for (uint32_t i = 0; i < out->count; i++)
        if (out->launch[i].weights > 0 && strcmp(out->launch[i].what, "output") != 0)
            out->launch[kept++] = out->launch[i];
    out->count = kept;
}

void roof_attention(const ash_hparams *h, uint32_t tokens, bool fp8, roof_list *out)
{
    builder b = { .h = h, .tokens = tokens, .context = tokens, .fp8_cache = fp8, .list = out };
    *out = (roof_list){ .count = 0 };
    (void)attention(&b, (inputs_of){ 0 });
    out->launch[0] = out->launch[out->count - 1]; /* without what fills the cache */
    out->count = 1;
}
