/* Which tokens end a text: keys, lists, spellings and templates, each alone and together; and real vocabularies against
 * what llama.cpp counts as ends of generation (llama_vocab_is_eog of llama-cpp-python 0.3.36, over every id). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/import.h"
#include "format/gguf_write.h"
#include "tests/support/support.h"

enum { FIRST = 3 /* the id of a fixture's first special token: "a", "b" and "ab" come before it */, TOKENS_MAX = 40 };

typedef struct key { const char *name; uint32_t id; } key;

/* test_path(NAME): a GGUF of key-values alone, with `tokens` (up to NULL) as control tokens from FIRST on. */
static char *write_vocabulary(const char *name, const char *const *tokens, const key *keys, size_t key_count)
{
    ash_error err;
    ash_gguf_writer *w;
    ash_gguf_string texts[TOKENS_MAX] = { { "a", 1 }, { "b", 1 }, { "ab", 2 } };
    int32_t types[TOKENS_MAX] = { 1, 1, 1 };
    uint32_t count = FIRST;
    for (; *tokens; tokens++, count++) {
        assert_true(count < TOKENS_MAX);
        texts[count] = (ash_gguf_string){ *tokens, strlen(*tokens) };
        types[count] = 3;
    }
    const ash_gguf_string merge = { "a b", 3 };
    char *path = test_path(name);
    assert_ok(ash_gguf_writer_create(path, true, 3, 32, &w, &err), &err);
    assert_ok(ash_gguf_writer_kv_string(w, "general.architecture", "llama", 5, &err), &err);
    assert_ok(ash_gguf_writer_kv_string(w, "tokenizer.ggml.model", "gpt2", 4, &err), &err);
    assert_ok(ash_gguf_writer_kv_string(w, "tokenizer.ggml.pre", "gpt-2", 5, &err), &err);
    assert_ok(ash_gguf_writer_kv_strings(w, "tokenizer.ggml.tokens", texts, count, &err), &err);
    assert_ok(ash_gguf_writer_kv_array(w, "tokenizer.ggml.token_type", ASH_GGUF_I32, types, count, &err), &err);
    assert_ok(ash_gguf_writer_kv_strings(w, "tokenizer.ggml.merges", &merge, 1, &err), &err);
    for (size_t i = 0; i < key_count; i++)
        assert_ok(ash_gguf_writer_kv_u32(w, keys[i].name, keys[i].id, &err), &err);
    assert_ok(ash_gguf_writer_finish(w, &err), &err);
    return path;
}

/* The stop ids of a GGUF, or of the folder (NULL: none) with the GGUF's vocabulary. */
static ash_status stops_of(const char *gguf, const char *folder, const char *template, ash_meta *meta, ash_error *err)
{
    ash_gguf *g;
    ash_vocab_import vocab = { 0 };
    assert_ok(ash_gguf_open(gguf, &g, err), err);
    assert_ok(ash_import_tokenizer_gguf(g, &vocab, err), err);
    assert_non_null(vocab.section);
    const ash_source source = { .kind = folder ? ASH_SOURCE_HF : ASH_SOURCE_GGUF, .gguf = folder ? NULL : g,
                                .folder = (char *)(uintptr_t)folder, .path = (char *)(uintptr_t)gguf };
    const ash_import import = { .chat_template = (char *)(uintptr_t)template };
    *meta = (ash_meta){ .h.vocab = vocab.count };
    if (folder)
        vocab.eos = -1; /* the GGUF's, which the folder does not have */
    ash_status status = ash_import_special_ids(&source, &import, &vocab, meta, err);
    free(vocab.section);
    ash_gguf_close(g);
    return status;
}

static void expect(const char *gguf, const char *folder, const char *template, const int32_t *want, size_t count)
{
    ash_error err;
    ash_meta meta;
    assert_ok(stops_of(gguf, folder, template, &meta, &err), &err);
    assert_int_equal(meta.stop_count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(meta.stop[i], want[i]);
}
#define EXPECT(gguf, folder, template, ...)                                                                      \
    expect(gguf, folder, template, (const int32_t[]){ __VA_ARGS__ }, sizeof((int32_t[]){ __VA_ARGS__ }) / 4)

static void keys_name_ids(void **state)
{
    (void)state;
    static const char *const tokens[] = { "<x0>", "<x1>", "<x2>", "<x3>", "<x4>", "<x5>", "<x6>", "<x7>", NULL };
    const key keys[] = { { "tokenizer.ggml.eos_token_id", 4 },     { "tokenizer.ggml.eot_token_id", 6 },
                         { "tokenizer.ggml.eom_token_id", 5 },     { "tokenizer.ggml.fim_pad_token_id", 7 },
                         { "tokenizer.ggml.fim_rep_token_id", 9 }, { "tokenizer.ggml.fim_sep_token_id", 8 } };
    char *gguf = write_vocabulary("keys.gguf", tokens, keys, 6);
    EXPECT(gguf, NULL, NULL, 4, 5, 6, 7, 8, 9);
    free(gguf);
    /* An id that is no token never comes up. */
    const key outside[] = { { "tokenizer.ggml.fim_pad_token_id", 11 }, { "tokenizer.ggml.eom_token_id", 10 } };
    gguf = write_vocabulary("outside.gguf", tokens, outside, 2);
    EXPECT(gguf, NULL, NULL, 10);
    free(gguf);
}

/* The spellings at which llama.cpp stops wherever a vocabulary has them, among others that it goes on at. */
static void spellings_in_a_gguf(void **state)
{
    (void)state;
    static const char *const tokens[] = {
        "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<EOT>",
        "_<EOT>", "<|end_of_text|>", "<end_of_utterance>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<eos>", "<turn|>",
        "<|calls|>", "<|tool_response>", "<|return|>", /* up to id 19 */
        "</s>", "<|eot|>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>", "[|endofturn|]", "<|eos|>", "<|endofprompt|>", NULL
    };
    char *gguf = write_vocabulary("spellings.gguf", tokens, NULL, 0);
    EXPECT(gguf, NULL, NULL, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19);
    free(gguf);
}

/* gpt-oss: <|end|> closes a message of thoughts, and the answer follows it. */
static void end_between_messages(void **state)
{
    (void)state;
    static const char *const harmony[] = { "<|end|>", "<|return|>", "<|call|>", NULL };
    static const char *const other[] = { "<|end|>", "<|flush|>", "<|calls|>", NULL };
    static const char *const template = "<|start|>assistant<|message|>{{ x }}<|end|>{{ y }}<|return|><|call|>";
    char *gguf = write_vocabulary("harmony.gguf", harmony, NULL, 0);
    EXPECT(gguf, NULL, template, 4, 5);
    free(gguf);
    gguf = write_vocabulary("flush.gguf", other, NULL, 0);
    EXPECT(gguf, NULL, NULL, 4, 5);
    free(gguf);
    /* Who names the id means it. */
    const key eos = { "tokenizer.ggml.eos_token_id", 3 };
    gguf = write_vocabulary("named.gguf", harmony, &eos, 1);
    EXPECT(gguf, NULL, template, 3, 4, 5);
    free(gguf);
}

/* One of each kind: the key's, else the first spelling. */
static void separators_of_files(void **state)
{
    (void)state;
    static const char *const tokens[] = { "<reponame>", "<|repo_name|>", "<fim_pad>", "<PAD>", "<|file_sep|>", "<fim_prefix>",
                                          NULL };
    char *gguf = write_vocabulary("code.gguf", tokens, NULL, 0);
    EXPECT(gguf, NULL, NULL, 4, 5, 7);
    free(gguf);
    const key rep = { "tokenizer.ggml.fim_rep_token_id", 8 };
    gguf = write_vocabulary("code-key.gguf", tokens, &rep, 1);
    EXPECT(gguf, NULL, NULL, 5, 7, 8);
    free(gguf);
}

/* Tokens that a template writes, in both kinds of source; a spelling that is no token is no stop. */
static void ends_in_a_template(void **state)
{
    (void)state;
    static const char *const ends[] = { "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
                                        "<|end_of_text|>", "</s>", "<|eot|>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>",
                                        "[|endofturn|]", "<|turn_end|>", "<|endofresponse|>", "<|message_sep|>", "<|eos|>",
                                        "<end_of_utterance>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<turn|>", NULL };
    char *gguf = write_vocabulary("template.gguf", ends, NULL, 0), *folder = test_path("template");
    free(test_path("template/none")); /* makes the folder */
    for (int32_t i = 0; ends[i]; i++) {
        char template[128];
        snprintf(template, sizeof template, "{{ m.content }}%s<|unknown_end|>", ends[i]);
        EXPECT(gguf, folder, template, FIRST + i);
    }
    expect(gguf, folder, NULL, NULL, 0);
    expect(gguf, folder, "{{ m.content }}<|im_end", NULL, 0);
    /* Not in the GGUF's own list, but written by its template: id 10 is </s>. */
    EXPECT(gguf, NULL, "{{ m.content }}</s>", 3, 4, 5, 6, 7, 8, 9, 10, 19, 20, 21);
    free(gguf);
    free(folder);
}

/* Numbers, lists and null in both files, and the template's on top; what has no place in a vocabulary is left out. */
static void lists_in_a_folder(void **state)
{
    (void)state;
    static const char *const tokens[] = { "<x0>", "<x1>", "<|im_end|>", "<x2>", "<x3>", NULL };
    char *gguf = write_vocabulary("folder.gguf", tokens, NULL, 0), *folder = test_path("folder");
    char *config = test_path("folder/config.json"), *generation = test_path("folder/generation_config.json");
    static const struct { const char *config, *generation; int32_t want[4]; size_t count; } cases[] = {
        { "{}", "{}", { 0 }, 0 },
        { "{\"eos_token_id\": 4}", "{\"eos_token_id\": null}", { 4 }, 1 },
        { "{\"eos_token_id\": [6, 4, 6]}", "{\"eos_token_id\": 3}", { 3, 4, 6 }, 3 },
        { "{\"eos_token_id\": -1}", "{\"eos_token_id\": [7, 8, 4294967296]}", { 7 }, 1 },
        { "{\"eos_token_id\": 7}", "{\"eos_token_id\": [7, 3]}", { 3, 7 }, 2 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_write_file(config, cases[i].config, strlen(cases[i].config));
        test_write_file(generation, cases[i].generation, strlen(cases[i].generation));
        expect(gguf, folder, "no token", cases[i].want, cases[i].count);
    }
    EXPECT(gguf, folder, "<|im_end|>", 3, 5, 7);
    static const char *const bad[] = { "{\"eos_token_id\": \"7\"}", "{\"eos_token_id\": [1.5]}", "{\"eos_token_id\": {}}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ash_error err;
        ash_meta meta;
        test_write_file(generation, bad[i], strlen(bad[i]));
        assert_int_equal(stops_of(gguf, folder, NULL, &meta, &err), ASH_E_FORMAT);
        assert_non_null(strstr(err.text, "generation_config.json"));
        assert_non_null(strstr(err.text, "eos_token_id"));
    }
    free(gguf), free(folder), free(config), free(generation);
}

/* llama.cpp stops qwen2's vocabulary at its ordinary token "</s>", too, which it takes for an end of turn where no key
 * says otherwise: a text may well hold that tag. */
static void real_vocabularies(void **state)
{
    (void)state;
    static const struct { const char *file; int32_t want[3]; size_t count; } cases[] = {
        { "vocab/ggml-vocab-gpt-2.gguf", { 50256 }, 1 },
        { "vocab/ggml-vocab-llama-bpe.gguf", { 128001, 128009 }, 2 },
        { "vocab/ggml-vocab-qwen2.gguf", { 151643, 151645 }, 2 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = test_shared(cases[i].file);
        if (!path)
            skip();
        expect(path, NULL, NULL, cases[i].want, cases[i].count);
        free(path);
    }
    const char *smollm2 = getenv("SMOLLM2_GGUF");
    if (smollm2 && *smollm2 && test_exists(smollm2))
        EXPECT(smollm2, NULL, NULL, 0, 2, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_name_ids),      cmocka_unit_test(spellings_in_a_gguf), cmocka_unit_test(end_between_messages),
        cmocka_unit_test(separators_of_files), cmocka_unit_test(ends_in_a_template), cmocka_unit_test(lists_in_a_folder),
        cmocka_unit_test(real_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
