#include "tests/support/make_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"

make_spec make_defaults(void)
{
    return (make_spec){
        .architecture = "llama", .layers = 2, .hidden = 256, .ffn = 512, .heads = 4, .kv_heads = 2, .head_dim = 64,
        .vocab = 288, .context = 256, .dtype = ASH_BF16, .alternate = ASH_DTYPE_COUNT, .parts = 1, .version = 3,
        .tokenizer = true,
    };
}

/* ---- the vocabulary ---- */

/* U+0120 is the space of the byte-level alphabet. */
#define SP "\xc4\xa0"
static const char *const merges[MAKE_MERGES] = {
    "h e", "l l", "he ll", "hell o", SP " w", "o r", "l d", SP "w or", SP "wor ld", "t h", "th e", SP " the", "i n",
    "e r", "a n", "o n",
};

const char *make_merge(uint32_t rank) { return merges[rank]; }

const char make_tool_template[] = "{% for t in tools %}[{{ t }}]{% endfor %}{{ messages[0].content }}";

const char make_chat_template[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* The byte-level alphabet: printable Latin-1 bytes stand for themselves, the n-th of the others for U+0100 + n. */
static uint32_t byte_letter(uint32_t byte)
{
    uint32_t n = 0;
    for (uint32_t b = 0; b <= byte; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte)
            return printable ? b : 0x100 + n;
        n += !printable;
    }
    return 0;
}

void make_token(uint32_t id, char out[64])
{
    static const char *const special[] = { "<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>" };
    if (id < 256) {
        uint32_t letter = byte_letter(id);
        if (letter < 0x80)
            snprintf(out, 64, "%c", (int)letter);
        else
            snprintf(out, 64, "%c%c", (int)(0xc0 | letter >> 6), (int)(0x80 | (letter & 0x3f)));
    } else if (id < MAKE_BOS) {
        const char *pair = merges[id - 256], *space = strchr(pair, ' ');
        snprintf(out, 64, "%.*s%s", (int)(space - pair), pair, space + 1);
    } else if (id < MAKE_VOCAB_MIN) {
        snprintf(out, 64, "%s", special[id - MAKE_BOS]);
    } else {
        snprintf(out, 64, "<|unused_%u|>", id - MAKE_VOCAB_MIN);
    }
}

/* ---- weights ---- */

/* A half of magnitude `scale` to 2 `scale`, of either sign. */
static uint16_t half_scale(test_rng *rng, float scale)
{
    float r = test_rng_float(rng);
    return ash_f32_to_f16((r < 0 ? r - 1.0f : r + 1.0f) * scale);
}

/* The scales that make a block's weights about 0.03; everything else is random. */
static void fix_scales(ash_dtype dtype, test_rng *rng, uint8_t *block)
{
    uint16_t d, m = 0;
    switch (dtype) {
    case ASH_Q4_0: /* codes -8 to 7 */
        d = half_scale(rng, 0.004f);
        break;
    case ASH_Q4_1: /* 0 to 15, about 7.5: m takes the mean away */
        d = half_scale(rng, 0.004f);
        m = ash_f32_to_f16(-7.5f * ash_f16_to_f32(d));
        break;
    case ASH_Q5_0:
        d = half_scale(rng, 0.002f);
        break;
    case ASH_Q5_1:
        d = half_scale(rng, 0.002f);
        m = ash_f32_to_f16(-15.5f * ash_f16_to_f32(d));
        break;
    case ASH_Q8_0:
        d = half_scale(rng, 0.0003f);
        break;
    case ASH_Q4_K: /* scales and mins 0 to 63 */
        d = half_scale(rng, 0.0001f);
        m = ash_f32_to_f16(7.5f * ash_f16_to_f32(d));
        break;
    case ASH_Q5_K:
        d = half_scale(rng, 0.00005f);
        m = ash_f32_to_f16(15.5f * ash_f16_to_f32(d));
        break;
    case ASH_Q6_K: /* scales -128 to 127, codes -32 to 31 */
        d = half_scale(rng, 0.00002f);
        memcpy(block + 208, &d, 2);
        return;
    default:
        return;
    }
    memcpy(block, &d, 2);
    if (dtype == ASH_Q4_1 || dtype == ASH_Q5_1 || dtype == ASH_Q4_K || dtype == ASH_Q5_K)
        memcpy(block + 2, &m, 2);
}

void make_weights(ash_dtype dtype, test_rng *rng, uint64_t elements, uint8_t *out)
{
    const ash_dtype_info *info = ash_dtype_find(dtype);
    uint64_t blocks = elements / info->block_elems;
    assert_true(blocks * info->block_elems == elements);
    for (uint64_t i = 0; i < blocks; i++, out += info->block_bytes) {
        float x = test_rng_float(rng) * 0.06f;
        uint16_t h = dtype == ASH_F16 ? ash_f32_to_f16(x) : ash_f32_to_bf16(x);
        if (dtype == ASH_F32)
            memcpy(out, &x, sizeof x);
        else if (dtype == ASH_F16 || dtype == ASH_BF16)
            memcpy(out, &h, sizeof h);
        else if (dtype == ASH_F8_E4M3)
            *out = ash_f32_to_e4m3(x / 0.06f * 448.0f);
        else {
            test_rng_bytes(rng, out, info->block_bytes);
            fix_scales(dtype, rng, out);
        }
    }
}

/* ---- tensors ---- */

make_tensor *make_add(make_list *list, const char *name, ash_dtype dtype, uint32_t dim_count, const uint64_t *dims,
                      uint32_t fastest)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 64;
        list->items = realloc(list->items, list->room * sizeof *list->items);
        assert_non_null(list->items);
    }
    make_tensor *t = &list->items[list->count++];
    memset(t, 0, sizeof *t);
    assert_true(strlen(name) < sizeof t->name);
    strcpy(t->name, name);
    t->dtype = dtype;
    t->dim_count = dim_count;
    assert_true(ash_row_bytes(dtype, dims[fastest], &t->size));
    for (uint32_t i = 0; i < dim_count; i++) {
        t->dims[i] = dims[i];
        if (i != fastest)
            t->size *= dims[i];
    }
    t->bytes = malloc(t->size + 1);
    assert_non_null(t->bytes);
    return t;
}

void make_list_free(make_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].bytes);
    free(list->items);
    *list = (make_list){ 0 };
}
