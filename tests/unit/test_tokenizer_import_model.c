/* tokenizer.model and the files beside it: what they become, what is refused, and bytes that are damaged anywhere; and
 * the same for GGUF's llama and t5. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/json.h"
#include "tests/support/support.h"
#include "tests/support/use_vocab.h"

/* ---- a protobuf ---- */

typedef struct bytes { uint8_t at[4096]; size_t size; } bytes;

static void put(bytes *b, const void *data, size_t size)
{
    assert_true(size <= sizeof b->at - b->size);
    memcpy(b->at + b->size, data, size);
    b->size += size;
}
static void put_varint(bytes *b, uint64_t x)
{
    do {
        uint8_t byte = (uint8_t)((x & 0x7f) | (x > 0x7f ? 0x80 : 0));
        put(b, &byte, 1);
        x >>= 7;
    } while (x);
}
static void put_number(bytes *b, unsigned field, uint64_t x)
{
    put_varint(b, field << 3);
    put_varint(b, x);
}
static void put_float(bytes *b, unsigned field, float x)
{
    put_varint(b, field << 3 | 5);
    put(b, &x, 4);
}
static void put_bytes(bytes *b, unsigned field, const void *data, size_t size)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, size);
    put(b, data, size);
}
static void put_piece(bytes *b, const char *text, float score, int type)
{
    bytes p = { .size = 0 };
    put_bytes(&p, 1, text, strlen(text));
    put_float(&p, 2, score);
    if (type != 1) /* NORMAL is the default */
        put_number(&p, 3, (uint64_t)type);
    put_bytes(b, 1, p.at, p.size);
}

/* <unk> <s> </s> a b ab U+2581 <0x41> and a user-defined symbol; then `more` pieces' bytes. */
enum { UNK, BOS, EOS, A, B, AB, SPACE, BYTE, SYMBOL, PIECES };
static void put_pieces(bytes *b)
{
    put_piece(b, "<unk>", 0, 2);
    put_piece(b, "<s>", 0, 3);
    put_piece(b, "</s>", 0, 3);
    put_piece(b, "a", -1.5f, 1);
    put_piece(b, "b", -2.1f, 1);
    put_piece(b, "ab", -0.1f, 1);
    put_piece(b, ASH_METASPACE, -3.1f, 1);
    put_piece(b, "<0x41>", 0, 6);
    put_piece(b, "<sep>", 0, 4);
}
static void put_message(bytes *b, unsigned field, const bytes *m) { put_bytes(b, field, m->at, m->size); }

static bytes good(bool bpe)
{
    bytes b = { .size = 0 }, trainer = { .size = 0 }, normalizer = { .size = 0 };
    put_pieces(&b);
    if (bpe)
        put_number(&trainer, 3, 2);
    put_number(&trainer, 35, 1); /* byte_fallback */
    put_number(&trainer, 43, UINT64_MAX); /* pad_id -1 */
    put_message(&b, 2, &trainer);
    put_number(&normalizer, 4, 0); /* remove_extra_whitespaces */
    put_message(&b, 3, &normalizer);
    return b;
}

static ash_status import(const bytes *b, ash_vocab_import *out, ash_error *err)
{
    uint8_t *exact = malloc(b->size + !b->size); /* so that a read past the end shows */
    memcpy(exact, b->at, b->size);
    ash_status status = ash_import_tokenizer_model_bytes(exact, b->size, NULL, NULL, NULL, out, err);
    free(exact);
    return status;
}

static ash_vocab opened(const ash_vocab_import *out)
{
    ash_error err = { 0 };
    ash_vocab v;
    assert_non_null(out->section);
    assert_ok(ash_vocab_open(out->section, out->size, &v, &err), &err);
    return v;
}

static const ash_vocab_added *added_of(const ash_vocab *v, uint32_t id)
{
    for (uint32_t i = 0; i < v->header->added_count; i++)
        if (v->added[i].id == id)
            return &v->added[i];
    return NULL;
}

/* ---- what it becomes ---- */

static void check_common(const ash_vocab *v, const ash_vocab_import *out)
{
    assert_int_equal(out->count, PIECES);
    assert_int_equal(out->bos, BOS);
    assert_int_equal(out->eos, EOS);
    assert_int_equal(out->pad, -1);
    assert_int_equal(v->header->unk, UNK);
    assert_int_equal(v->header->byte_ids[0x41], BYTE);
    assert_int_equal(v->tokens[BYTE].bytes, 1);
    assert_int_equal(v->tokens[BYTE].flags & ASH_TOKEN_MODEL, 0);
    assert_int_equal(v->tokens[BOS].flags, ASH_TOKEN_ADDED | ASH_TOKEN_SPECIAL);
    assert_int_equal(v->tokens[SYMBOL].flags & (ASH_TOKEN_MODEL | ASH_TOKEN_ADDED | ASH_TOKEN_SPECIAL),
                     ASH_TOKEN_MODEL | ASH_TOKEN_ADDED);
    assert_int_equal(v->header->added_count, 4);
    assert_int_equal(added_of(v, SYMBOL)->flags, ASH_ADDED_SYMBOL);
    assert_int_equal(added_of(v, UNK)->flags, ASH_ADDED_SPECIAL);
    assert_int_equal(v->header->step_count, 2);
    assert_int_equal(v->steps[0].kind, ASH_STEP_SPM);
    assert_int_equal(v->steps[0].flags, ASH_STEP_DUMMY | ASH_STEP_ESCAPE);
    assert_int_equal(v->steps[1].kind, ASH_STEP_DECODE_SPM);
    assert_int_equal(v->steps[1].flags, ASH_STEP_DUMMY);
}

static void test_bpe(void **state)
{
    (void)state;
    bytes b = good(true);
    ash_vocab_import out;
    ash_error err = { 0 };
    assert_ok(import(&b, &out, &err), &err);
    ash_vocab v = opened(&out);
    check_common(&v, &out);
    assert_int_equal(v.header->model, ASH_VOCAB_SPM_BPE);
    assert_true(out.add_bos);
    assert_true(v.tokens[A].score == -1.5f);
    free(out.section);
}

static void test_unigram(void **state)
{
    (void)state;
    bytes b = good(false), normalizer = { .size = 0 };
    ash_vocab_import out;
    ash_error err = { 0 };
    assert_ok(import(&b, &out, &err), &err);
    ash_vocab v = opened(&out);
    check_common(&v, &out);
    assert_int_equal(v.header->model, ASH_VOCAB_UNIGRAM);
    assert_false(out.add_bos);
    uint32_t flags = ASH_VOCAB_FLOAT_SUMS | ASH_VOCAB_FUSE_UNK | ASH_VOCAB_BYTE_FALLBACK | ASH_VOCAB_ADD_EOS;
    assert_int_equal(v.header->flags & flags, flags);
    assert_true(v.header->unk_score == (double)(-3.1f - 10));
    assert_true(v.scores[SYMBOL] == (double)(float)0.4 && v.scores[B] == (double)-2.1f);
    free(out.section);
    /* Everything in the normalizer the other way round; the later message counts where there are two. */
    put_number(&normalizer, 3, 0);
    put_number(&normalizer, 4, 1);
    put_number(&normalizer, 5, 0);
    put_bytes(&normalizer, 2, "\x04\0\0\0\0\0\0\0x", 10);
    put_message(&b, 3, &normalizer);
    assert_ok(import(&b, &out, &err), &err);
    v = opened(&out);
    assert_int_equal(v.steps[0].flags, ASH_STEP_TRIM);
    assert_int_equal(v.steps[0].text_bytes, 10);
    free(out.section);
}

/* ---- the files beside it ---- */

static void write_text(const char *name, const char *text)
{
    char *path = test_path(name);
    test_write_file(path, text, strlen(text));
    free(path);
}

static void test_folder(void **state)
{
    (void)state;
    bytes b = good(true);
    char *path = test_path("spm/tokenizer.model"), *folder = test_path("spm");
    test_write_file(path, b.at, b.size);
    write_text("spm/added_tokens.json", "{\"<tool>\":10,\"ab\":5,\"<end>\":12}");
    write_text("spm/special_tokens_map.json",
               "{\"pad_token\":\"<end>\",\"additional_special_tokens\":[\"<end>\"],\"eos_token\":{\"content\":\"<s>\"}}");
    write_text("spm/tokenizer_config.json",
               "{\"add_bos_token\":false,\"add_eos_token\":true,\"bos_token\":\"</s>\",\"added_tokens_decoder\":{"
               "\"0\":{\"content\":\"<unk>\",\"special\":true},\"8\":{\"content\":\"<sep>\",\"lstrip\":true,"
               "\"normalized\":true},\"9\":{\"content\":\"<late>\",\"special\":true}}}");
    ash_vocab_import out;
    ash_error err = { 0 };
    assert_ok(ash_import_tokenizer_hf(folder, &out, &err), &err);
    ash_vocab v = opened(&out);
    assert_int_equal(out.count, 13);
    assert_int_equal(out.bos, BOS); /* the model's own comes first */
    assert_int_equal(out.eos, BOS);
    assert_int_equal(out.pad, 12);
    assert_false(out.add_bos);
    assert_true(v.header->flags & ASH_VOCAB_ADD_EOS);
    assert_int_equal(added_of(&v, 10)->flags, 0);
    assert_int_equal(added_of(&v, 12)->flags, ASH_ADDED_SPECIAL);
    assert_int_equal(added_of(&v, 9)->flags, ASH_ADDED_SPECIAL);
    assert_int_equal(added_of(&v, AB)->flags, 0);
    assert_int_equal(added_of(&v, SYMBOL)->flags, ASH_ADDED_LSTRIP); /* cuts the text now */
    assert_int_equal(v.tokens[UNK].type, ASH_TOKEN_UNKNOWN);
    assert_int_equal(v.tokens[11].bytes, 0);
    use_vocab(ASH_OK, &out, &err);

    static const struct { const char *name, *text, *words; } bad[] = {
        { "spm/added_tokens.json", "{\"x\":-1}", "\"x\" has no id" },
        { "spm/added_tokens.json", "{\"x\":3}", "have the same id 3" },
        { "spm/added_tokens.json", "{\"\":30}", "token 30 has 0 bytes" },
        { "spm/added_tokens.json", "{\"x\":99999}", "ids up to 99999" },
        { "spm/added_tokens.json", "{", "added_tokens.json" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(bad[i].name, bad[i].text);
        ash_status status = ash_import_tokenizer_hf(folder, &out, &err);
        if (status == ASH_OK || !strstr(err.text, bad[i].words))
            fail_msg("case %zu gave %d \"%s\"", i, (int)status, err.text);
        assert_null(out.section);
    }
    free(path);
    free(folder);
}

/* ---- refused ---- */

typedef void change_fn(bytes *b);
static void word_model(bytes *b) { bytes t = { .size = 0 }; put_number(&t, 3, 3); put_message(b, 2, &t); }
static void char_model(bytes *b) { bytes t = { .size = 0 }; put_number(&t, 3, 4); put_message(b, 2, &t); }
static void odd_model(bytes *b) { bytes t = { .size = 0 }; put_number(&t, 3, 77); put_message(b, 2, &t); }
static void surface(bytes *b) { bytes t = { .size = 0 }; put_bytes(&t, 44, "?", 1); put_message(b, 2, &t); }
static void denormalizer(bytes *b) { bytes t = { .size = 0 }; put_bytes(&t, 2, "map", 3); put_message(b, 5, &t); }
static void same_piece(bytes *b) { put_piece(b, "ab", 0, 1); }
static void no_text(bytes *b) { put_piece(b, "", 0, 1); }
static void odd_type(bytes *b) { put_piece(b, "x", 0, 7); }
static void no_score(bytes *b) { put_piece(b, "x", NAN, 1); }
static void infinite(bytes *b) { put_piece(b, "x", -INFINITY, 1); }
static void odd_byte(bytes *b) { put_piece(b, "<0x4g>", 0, 6); }
static void two_unknown(bytes *b) { put_piece(b, "x", 0, 2); }
static void group(bytes *b) { put_varint(b, 9 << 3 | 3); }
static void number_zero(bytes *b) { put_varint(b, 0); }
static void long_length(bytes *b) { put_varint(b, 1 << 3 | 2); put_varint(b, UINT64_MAX); }
static void no_message(bytes *b) { put_number(b, 2, 1); }
static void empty(bytes *b) { b->size = 0; }
static void text_file(bytes *b) { b->size = 0; put(b, "IQ== 0\nIg== 1\n", 14); }
static void no_unknown(bytes *b) { b->size = 0; put_piece(b, "a", 0, 1); }

static void test_refused(void **state)
{
    (void)state;
    static const struct { change_fn *change; const char *words; } cases[] = {
        { word_model, "model_type \"word\"" }, { char_model, "model_type \"char\"" }, { odd_model, "model_type \"?\"" },
        { surface, "unk_surface" }, { denormalizer, "denormalizer_spec" }, { same_piece, "has the ids 5 and 9" },
        { no_text, "piece 9 has no text" }, { odd_type, "piece 9 has no text" }, { no_score, "no finite score" },
        { infinite, "no finite score" }, { odd_byte, "is of type byte and spells none" },
        { two_unknown, "pieces 0 and 9" }, { group, "is no SentencePiece model" },
        { number_zero, "is no SentencePiece model" }, { long_length, "is no SentencePiece model" },
        { no_message, "field 2 is no message" }, { empty, "it has no pieces" },
        { text_file, "is no SentencePiece model" }, { no_unknown, "no piece is of type unknown" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = good(true);
        cases[i].change(&b);
        ash_vocab_import out;
        ash_error err = { 0 };
        ash_status status = import(&b, &out, &err);
        if (status == ASH_OK || !strstr(err.text, cases[i].words))
            fail_msg("case %zu gave %d \"%s\", expected \"%s\"", i, (int)status, err.text, cases[i].words);
        assert_null(out.section);
    }
}

/* Cut anywhere, and changed anywhere: an error, or a vocabulary that keeps its promises. */
static void test_damage(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("model damage");
    bytes whole = good(false);
    size_t refused = 0, tries = 0;
    for (int i = 0; i < 6000; i++, tries++) {
        bytes b = whole;
        if ((size_t)i < whole.size)
            b.size = (size_t)i;
        else
            for (uint64_t n = 1 + test_rng_below(&rng, 3); n > 0; n--)
                b.at[test_rng_below(&rng, b.size)] = (uint8_t)test_rng_next(&rng);
        ash_vocab_import out;
        ash_error err = { 0 };
        ash_status status = import(&b, &out, &err);
        refused += status != ASH_OK;
        use_vocab(status, &out, &err);
    }
    print_message("# measure %zu of %zu damaged models are refused, the others do no harm\n", refused, tries);
    assert_true(refused > tries / 4 && refused < tries);
}

/* ---- GGUF's llama and t5 ---- */

typedef struct pairs { bytes b; uint64_t count; } pairs;

static void pair(pairs *p, const char *key, uint32_t type, const void *value, size_t size)
{
    char name[80];
    uint64_t length = (uint64_t)snprintf(name, sizeof name, "tokenizer.ggml.%s", key);
    put(&p->b, &length, 8);
    put(&p->b, name, length);
    put(&p->b, &type, 4);
    put(&p->b, value, size);
    p->count++;
}
static void pair_text(pairs *p, const char *key, const char *text)
{
    bytes b = { .size = 0 };
    uint64_t n = strlen(text);
    put(&b, &n, 8);
    put(&b, text, n);
    pair(p, key, ASH_GGUF_STRING, b.at, b.size);
}
static void pair_array(pairs *p, const char *key, uint32_t element, uint64_t count, const void *data, size_t size)
{
    bytes b = { .size = 0 };
    put(&b, &element, 4);
    put(&b, &count, 8);
    put(&b, data, size);
    pair(p, key, ASH_GGUF_ARRAY, b.at, b.size);
}

static pairs gguf(const char *model, const float *scores, const char *eighth)
{
    static const char *const texts[PIECES] = { "<unk>", "<s>", "</s>", "a", "b", "ab", ASH_METASPACE, "<0x41>", "<sep>" };
    static const int32_t types[PIECES] = { 2, 3, 3, 1, 1, 1, 1, 6, 4 };
    pairs p = { .b = { .size = 12 } };
    bytes tokens = { .size = 0 };
    for (int i = 0; i < PIECES; i++) {
        const char *text = i == BYTE ? eighth : texts[i];
        uint64_t n = strlen(text);
        put(&tokens, &n, 8);
        put(&tokens, text, n);
    }
    pair_text(&p, "model", model);
    pair_array(&p, "tokens", ASH_GGUF_STRING, PIECES, tokens.at, tokens.size);
    pair_array(&p, "token_type", ASH_GGUF_I32, PIECES, types, sizeof types);
    if (scores)
        pair_array(&p, "scores", ASH_GGUF_F32, PIECES, scores, PIECES * sizeof *scores);
    return p;
}

static ash_status import_pairs(pairs *p, ash_vocab_import *out, ash_error *err)
{
    ash_gguf *g;
    uint32_t version = 3;
    memcpy(p->b.at, &version, 4);
    memcpy(p->b.at + 4, &p->count, 8);
    assert_ok(ash_gguf_open_kv(p->b.at, p->b.size, &g, err), err);
    ash_status status = ash_import_tokenizer_gguf(g, out, err);
    ash_gguf_close(g);
    return status;
}

static const float scores[PIECES] = { 0, 0, 0, -1.5f, -2, -0.25f, -3, 0, 0 };

static void test_gguf(void **state)
{
    (void)state;
    ash_vocab_import out;
    ash_error err = { 0 };
    pairs p = gguf("llama", scores, "<0x41>");
    assert_ok(import_pairs(&p, &out, &err), &err);
    ash_vocab v = opened(&out);
    assert_int_equal(v.header->model, ASH_VOCAB_SPM_BPE);
    assert_int_equal(v.steps[0].flags, ASH_STEP_DUMMY | ASH_STEP_ESCAPE);
    assert_true(out.add_bos && out.bos == BOS && out.eos == EOS && v.header->unk == UNK);
    assert_int_equal(v.header->byte_ids[0x41], BYTE);
    assert_int_equal(added_of(&v, SYMBOL)->flags, 0); /* cuts the text in the reference */
    assert_true(v.tokens[AB].score == -0.25f);
    use_vocab(ASH_OK, &out, &err);
    static const uint8_t no = 0, yes = 1;
    pair(&p, "add_space_prefix", ASH_GGUF_BOOL, &no, 1);
    pair(&p, "remove_extra_whitespaces", ASH_GGUF_BOOL, &yes, 1); /* which the reference passes over here */
    assert_ok(import_pairs(&p, &out, &err), &err);
    v = opened(&out);
    assert_int_equal(v.steps[0].flags, ASH_STEP_ESCAPE);
    free(out.section);

    p = gguf("t5", scores, "<0x41>");
    pair(&p, "remove_extra_whitespaces", ASH_GGUF_BOOL, &yes, 1);
    pair_array(&p, "precompiled_charsmap", ASH_GGUF_I8, 10, "\x04\0\0\0\0\0\0\0x", 10);
    assert_ok(import_pairs(&p, &out, &err), &err);
    v = opened(&out);
    assert_int_equal(v.header->model, ASH_VOCAB_UNIGRAM);
    assert_int_equal(v.steps[0].flags, ASH_STEP_TRIM | ASH_STEP_DUMMY | ASH_STEP_ESCAPE);
    assert_int_equal(v.steps[0].text_bytes, 10);
    assert_true(v.header->unk_score == -13 && v.scores[SYMBOL] == 0);
    assert_true(out.eos == 1 && v.header->unk == 2 && out.pad == 0 && !out.add_bos);
    assert_int_equal(v.header->flags & (ASH_VOCAB_FLOAT_SUMS | ASH_VOCAB_BYTE_FALLBACK), 0);
    free(out.section);
}

static void test_gguf_refused(void **state)
{
    (void)state;
    ash_vocab_import out;
    ash_error err = { 0 };
    pairs p = gguf("llama", NULL, "<0x41>");
    assert_int_equal(import_pairs(&p, &out, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "scores has not one number for each of the 9 tokens"));
    float odd[PIECES] = { 0, 0, 0, NAN };
    p = gguf("llama", odd, "<0x41>");
    assert_int_equal(import_pairs(&p, &out, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "that of token 3 is not a finite number"));
    p = gguf("llama", scores, "<0x4>");
    assert_int_equal(import_pairs(&p, &out, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "token 7, \"<0x4>\", is of type byte"));
    p = gguf("t5", scores, "<0x41>");
    pair_text(&p, "precompiled_charsmap", "text");
    assert_int_equal(import_pairs(&p, &out, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "precompiled_charsmap is not an array of bytes"));
    static const char *const models[] = { "bert", "rwkv", "plamo2", "gemma4", "llam" };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        p = gguf(models[i], scores, "<0x41>");
        assert_int_equal(import_pairs(&p, &out, &err), ASH_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, models[i]));
        assert_null(out.section);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe),    cmocka_unit_test(test_unigram), cmocka_unit_test(test_folder),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_damage), cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_gguf_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
