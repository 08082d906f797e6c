/* META: what is written comes back exactly, and what makes no sense is refused by the name of its key. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/meta.h"
#include "tests/support/support.h"

static ash_meta sample(void)
{
    return (ash_meta){
        .h = { .architecture = "llama",
               .layers = 30,
               .hidden = 576,
               .heads = 9,
               .kv_heads = 3,
               .head_dim = 64,
               .ffn = 1536,
               .vocab = 49152,
               .context = 8192,
               .sliding_window = 0,
               .rope_dim = 64,
               .norm_eps = 1e-5f,
               .rope_theta = 100000.0f,
               .tied_output = true },
        .bos = 1,
        .add_bos = true,
        .pad = -1,
        .stop_count = 2,
        .stop = { 0, 2 },
    };
}

/* Writes and reads back; the caller frees *back. */
static char *round_trip(const ash_meta *m, ash_meta *back)
{
    char *text;
    size_t size;
    ash_error err;
    assert_ok(ash_meta_write(m, &text, &size, &err), &err);
    assert_int_equal(size, strlen(text));
    assert_ok(ash_meta_read(text, size, back, &err), &err);
    return text;
}

static void test_round_trip(void **state)
{
    (void)state;
    ash_meta m = sample(), back;
    m.name = (char *)"Smol \"LM\" \xc3\xa4\n";
    m.source_kind = (char *)"hf";
    m.chat_template = (char *)"{% for m in messages %}{{ m['content'] }}\t\\{% endfor %}";
    m.tool_template = (char *)"{{ tools }}";
    m.provenance = (char *)"{\"tool\":\"ashlar 0.1\",\"files\":[{\"name\":\"a\",\"bytes\":123456789012}]}";
    m.h.rope_scaling = ASH_ROPE_YARN;
    m.h.rope_factor = 4;
    m.h.rope_low = 1;
    m.h.rope_high = 32;
    m.h.rope_attention_factor = 0.1f;
    m.h.rope_original_context = 32768;
    m.h.sliding_window = 4096;
    m.h.qkv_bias = m.h.qk_norm = true;
    char *text = round_trip(&m, &back);
    assert_memory_equal(&back.h, &m.h, sizeof m.h);
    assert_string_equal(back.name, m.name);
    assert_string_equal(back.source_kind, m.source_kind);
    assert_string_equal(back.chat_template, m.chat_template);
    assert_string_equal(back.tool_template, m.tool_template);
    assert_string_equal(back.provenance, m.provenance);
    assert_int_equal(back.bos, 1);
    assert_int_equal(back.pad, -1);
    assert_true(back.add_bos);
    assert_int_equal(back.stop_count, 2);
    assert_int_equal(back.stop[1], 2);
    /* The same text again: the order of keys is fixed. */
    ash_meta third;
    char *again = round_trip(&back, &third);
    assert_string_equal(text, again);
    free(text);
    free(again);
    ash_meta_free(&back);
    ash_meta_free(&third);
    assert_null(third.name);
}

static void test_absent_strings(void **state)
{
    (void)state;
    ash_meta m = sample(), back;
    m.bos = -1;
    m.add_bos = false;
    m.stop_count = 0;
    char *text = round_trip(&m, &back);
    assert_null(back.name);
    assert_null(back.source_kind);
    assert_null(back.chat_template);
    assert_null(back.tool_template);
    assert_null(back.provenance);
    assert_int_equal(back.bos, -1);
    assert_int_equal(back.stop_count, 0);
    assert_int_equal(back.h.rope_scaling, ASH_ROPE_NONE);
    free(text);
    ash_meta_free(&back);
}

/* Bit for bit, also where a decimal needs all 9 digits. */
static void test_floats(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("floats");
    const float fixed[] = { 1e-5f, 1e-6f, FLT_MIN, 0.1f, 1.0f, nextafterf(1.0f, 0.0f), 1e-45f };
    for (int i = 0; i < 500; i++) {
        ash_meta m = sample(), back;
        uint32_t bits = (uint32_t)test_rng_next(&rng);
        if (i < (int)(sizeof fixed / sizeof fixed[0]))
            m.h.norm_eps = fixed[i];
        else
            m.h.norm_eps = 0x1p-126f + fabsf(test_rng_float(&rng)) * ldexpf(1, -(int)(bits % 60));
        m.h.rope_theta = ldexpf(1 + fabsf(test_rng_float(&rng)), (int)(bits >> 8) % 49);
        char *text = round_trip(&m, &back);
        assert_memory_equal(&back.h.norm_eps, &m.h.norm_eps, 4);
        assert_memory_equal(&back.h.rope_theta, &m.h.rope_theta, 4);
        free(text);
        ash_meta_free(&back);
    }
}

static void refuse_hparams(const ash_hparams *h, const char *word)
{
    ash_error err;
    if (ash_hparams_check(h, &err) == ASH_OK)
        fail_msg("accepted; expected \"%s\"", word);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not say \"%s\"", err.text, word);
    /* Neither writer nor reader lets it through. */
    ash_meta m = sample();
    m.h = *h;
    char *text;
    size_t size;
    assert_int_not_equal(ash_meta_write(&m, &text, &size, &err), ASH_OK);
    assert_null(text);
}

static void test_ranges(void **state)
{
    (void)state;
    const ash_hparams good = sample().h;
    ash_error err;
    assert_ok(ash_hparams_check(&good, &err), &err);
#define REFUSE(field, value)                                                                                           \
    do {                                                                                                               \
        ash_hparams h = good;                                                                                          \
        h.field = (value);                                                                                             \
        refuse_hparams(&h, #field);                                                                                    \
    } while (0)
    REFUSE(layers, 0);
    REFUSE(layers, 4097);
    REFUSE(hidden, 0);
    REFUSE(hidden, (1u << 20) + 1);
    REFUSE(heads, 0);
    REFUSE(heads, 4097);
    REFUSE(kv_heads, 0);
    REFUSE(kv_heads, 10);
    REFUSE(kv_heads, 2);
    REFUSE(head_dim, 0);
    REFUSE(head_dim, ASH_HEAD_DIM_MAX + 1);
    REFUSE(ffn, 0);
    REFUSE(ffn, UINT32_MAX);
    REFUSE(vocab, 0);
    REFUSE(vocab, (1u << 24) + 1);
    REFUSE(context, 0);
    REFUSE(context, UINT32_MAX);
    REFUSE(sliding_window, UINT32_MAX);
    REFUSE(rope_dim, 0);
    REFUSE(rope_dim, 63);
    REFUSE(rope_dim, 66);
    REFUSE(norm_eps, 0.0f);
    REFUSE(norm_eps, -1e-5f);
    REFUSE(norm_eps, NAN);
    REFUSE(norm_eps, 2.0f);
    REFUSE(rope_theta, 0.0f);
    REFUSE(rope_theta, INFINITY);
    REFUSE(rope_theta, NAN);
    REFUSE(rope_scaling, (ash_rope_scaling)4);
    ash_hparams h = good;
    h.architecture[0] = 0;
    refuse_hparams(&h, "architecture");
    h.architecture[0] = '\n';
    refuse_hparams(&h, "architecture");
    memset(h.architecture, 'x', sizeof h.architecture); /* no NUL */
    refuse_hparams(&h, "architecture");
    h = good;
    h.rope_scaling = ASH_ROPE_LINEAR;
    refuse_hparams(&h, "rope_factor");
    h.rope_scaling = ASH_ROPE_LLAMA3;
    h.rope_factor = 8;
    refuse_hparams(&h, "rope_original_context");
    h.rope_original_context = 8192;
    refuse_hparams(&h, "rope_low");
    h.rope_low = h.rope_high = 1;
    refuse_hparams(&h, "rope_high");
    h.rope_high = 4;
    assert_ok(ash_hparams_check(&h, &err), &err);
    h.rope_scaling = ASH_ROPE_YARN;
    h.rope_attention_factor = -1;
    refuse_hparams(&h, "rope_attention_factor");
}

static void test_tokens(void **state)
{
    (void)state;
    const struct {
        int32_t bos, pad, stop[3];
        uint32_t stop_count;
        bool add_bos;
    } bad[] = {
        { -2, -1, { 0 }, 0, false },     { 0, -2, { 0 }, 0, false },
        { -1, -1, { 0 }, 0, true },      { 0, 0, { 2, 2 }, 2, false },
        { 0, 0, { 3, 2 }, 2, false },    { 0, 0, { -1 }, 1, false },
        { 1 << 24, 0, { 0 }, 0, false }, { 0, 0, { 0 }, ASH_STOP_MAX + 1, false },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ash_meta m = sample();
        ash_error err;
        char *text;
        size_t size;
        m.bos = bad[i].bos;
        m.pad = bad[i].pad;
        m.add_bos = bad[i].add_bos;
        m.stop_count = bad[i].stop_count;
        memcpy(m.stop, bad[i].stop, sizeof bad[i].stop);
        assert_int_equal(ash_meta_write(&m, &text, &size, &err), ASH_E_FORMAT);
    }
}

static void test_strings_from_files(void **state)
{
    (void)state;
    ash_error err;
    char *text;
    size_t size;
    ash_meta m = sample();
    m.chat_template = (char *)"broken \xff utf-8";
    assert_int_not_equal(ash_meta_write(&m, &text, &size, &err), ASH_OK);
    m = sample();
    static const char *const bad[] = { "[]", "{", "{\"a\":1,\"a\":2}", "", "3", "{} x" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m.provenance = (char *)bad[i];
        assert_int_not_equal(ash_meta_write(&m, &text, &size, &err), ASH_OK);
        assert_non_null(strstr(err.text, "provenance"));
    }
}

/* One edit of a good text each: `from` becomes `to`. */
static void test_bad_text(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *word;
    } edits[] = {
        { "\"layers\":30", "\"layers\":0", "layers" },
        { "\"layers\":30", "\"layers\":\"30\"", "layers" },
        { "\"layers\":30", "\"layers\":30.5", "layers" },
        { "\"layers\":30", "\"layers\":-1", "layers" },
        { "\"layers\":30", "\"layers\":4294967326", "layers" }, /* 30 modulo 2^32 */
        { "\"layers\":30,", "", "layers" },
        { "\"layers\":30", "\"layers\":30,\"layers\":30", "layers" }, /* twice */
        { "\"norm_eps\":", "\"norm_eps\":null,\"x\":", "norm_eps" },
        { "\"rope_theta\":100000", "\"rope_theta\":1e999", "" },
        { "\"rope_theta\":100000", "\"rope_theta\":1e39", "rope_theta" },
        { "\"rope_scaling\":\"none\"", "\"rope_scaling\":\"dynamic\"", "dynamic" },
        { "\"rope_scaling\":\"none\"", "\"rope_scaling\":\"linear\"", "rope_factor" },
        { "\"tied_output\":true", "\"tied_output\":1", "tied_output" },
        { "\"architecture\":\"llama\"", "\"architecture\":\"a name of more than 31 letters..\"", "architecture" },
        { "\"architecture\":\"llama\"", "\"architecture\":7", "architecture" },
        { "\"bos\":1", "\"bos\":-1", "bos" },
        { "\"bos\":1", "\"bos\":1e9", "bos" },
        { "\"stop\":[0,2]", "\"stop\":[2,0]", "stop" },
        { "\"stop\":[0,2]", "\"stop\":[0,\"2\"]", "stop" },
        { "\"stop\":[0,2]", "\"stop\":2", "stop" },
        { "\"stop\":[0,2]",
          "\"stop\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32]",
          "stop" },
        { "\"hparams\":{", "\"hparams\":3,\"x\":{", "hparams" },
        { "\"tokens\":{", "\"x\":{", "tokens" },
        { "\"name\":\"n\"", "\"name\":3", "name" },
        { "\"name\":\"n\"", "\"name\":\"a\\u0000b\"", "" },
    };
    ash_meta m = sample(), back;
    m.name = (char *)"n";
    char *good = round_trip(&m, &back);
    ash_meta_free(&back);
    ash_error err;
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        char text[4096];
        const char *at = strstr(good, edits[i].from);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, edits[i].to, at + strlen(edits[i].from));
        if (ash_meta_read(text, strlen(text), &back, &err) == ASH_OK)
            fail_msg("accepted: %s", text);
        if (!strstr(err.text, edits[i].word) || !strstr(err.text, "META"))
            fail_msg("\"%s\" does not say \"%s\"", err.text, edits[i].word);
        assert_null(back.name);
    }
    /* Every proper beginning is refused too. */
    for (size_t n = 0; n < strlen(good); n++)
        assert_int_not_equal(ash_meta_read(good, n, &back, &err), ASH_OK);
    /* Unknown keys are ignored. */
    char text[4096];
    snprintf(text, sizeof text, "{\"later\":{\"x\":[1,2]},%s", good + 1);
    assert_ok(ash_meta_read(text, strlen(text), &back, &err), &err);
    ash_meta_free(&back);
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_absent_strings),
        cmocka_unit_test(test_floats),     cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_tokens),     cmocka_unit_test(test_strings_from_files),
        cmocka_unit_test(test_bad_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
