/* ashlar convert --calibrate, the whole way: small models (tied, with a last tile of rows that are no multiple of 256,
 * with several types of source), on any number of threads; and llama-30m, where it is there. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "format/reader.h"
#include "quant/blas.h"
#include "tests/support/make_gguf.h"
#include "tests/support/read_back.h"

static void run_ok(const char *arguments)
{
    int code;
    char *out = test_ashlar(arguments, &code);
    if (code != 0)
        fail_msg("ashlar %s: %s", arguments, out);
}

static double divergence(const char *a, const char *b, const char *text, const char *more)
{
    char line[4096];
    int code;
    snprintf(line, sizeof line, "compare %s %s --text %s --act float --json %s", a, b, text, more);
    char *out = test_ashlar(line, &code);
    cJSON *json = cJSON_Parse(out);
    if (code != 0 || !cJSON_IsNumber(cJSON_GetObjectItem(json, "kl")))
        fail_msg("%s", out);
    double kl = cJSON_GetObjectItem(json, "kl")->valuedouble;
    cJSON_Delete(json);
    return kl;
}

static void need_blas(void)
{
    const ash_blas *blas;
    ash_error err;
    if (ash_blas_load(&blas, &err) != ASH_OK)
        test_skip("libopenblas is not installed");
}

/* About `bytes` bytes of words of a few letters, in which no token is rare. */
static char *write_text(const char *name, size_t bytes)
{
    char *path = test_path(name), *text = malloc(bytes);
    assert_non_null(text);
    test_rng rng = test_rng_start(name);
    for (size_t i = 0; i < bytes; i++)
        text[i] = test_rng_below(&rng, 5) ? (char)('a' + test_rng_below(&rng, 26)) : ' ';
    test_write_file(path, text, bytes);
    free(text);
    return path;
}

/* Every FP8 matrix has a fixed scale for its inputs, and matrices that share inputs share it. */
static void check_input_scales(const char *path, bool fp8)
{
    ash_file *file = read_back_open(path);
    float of[64][8] = { { 0 } };
    uint32_t matrices = 0;
    for (uint32_t i = 0; i < ash_file_tensor_count(file); i++) {
        const ash_tensor_record *t = ash_file_tensor(file, i);
        if (t->dtype != ASH_F8_E4M3)
            continue;
        assert_int_equal(t->member_count, 1);
        const ash_member_record *m = ash_file_member(file, t->member_first);
        assert_int_equal(m->input_dynamic, 0);
        assert_true(m->scale_input != ASH_NO_INDEX);
        const ash_tensor_record *scale = ash_file_tensor(file, m->scale_input);
        assert_int_equal(scale->scale_kind, ASH_SCALE_INPUT);
        assert_int_equal(scale->dtype, ASH_F32);
        float value;
        memcpy(&value, ash_file_data(file, scale), sizeof value);
        assert_true(value > 0 && t->layer < 64);
        uint32_t at = m->role == ASH_ROLE_Q || m->role == ASH_ROLE_K || m->role == ASH_ROLE_V ? 0
                    : m->role == ASH_ROLE_GATE || m->role == ASH_ROLE_UP ? 1 : m->role == ASH_ROLE_O ? 2 : 3;
        assert_true(of[t->layer][at] == 0 || of[t->layer][at] == value);
        of[t->layer][at] = value;
        matrices++;
    }
    assert_true(fp8 ? matrices > 0 && matrices % 7 == 0 : matrices == 0);
    ash_file_close(file);
}

/* type: as arguments. most: of the divergence without calibration, what may be left. */
static void check_model(const char *name, const make_spec *spec, const char *type, double most)
{
    char *source = make_gguf(name, spec), *text = write_text("calibration-text", 3000), line[4096], file[96];
    snprintf(file, sizeof file, "%s/float.ashlar", name);
    char *whole = test_path(file), *plain, *fed[3];
    snprintf(file, sizeof file, "%s/plain.ashlar", name);
    plain = test_path(file);
    snprintf(line, sizeof line, "convert %s -o %s --type f32 --force", source, whole);
    run_ok(line);
    snprintf(line, sizeof line, "convert %s -o %s --type %s --force", source, plain, type);
    run_ok(line);
    static const int threads[] = { 1, 2, 7 };
    for (int i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s/fed%d.ashlar", name, i);
        fed[i] = test_path(file);
        snprintf(line, sizeof line, "convert %s -o %s --type %s --force --threads %d --calibrate %s", source, fed[i],
                 type, threads[i], text);
        run_ok(line);
        size_t size[2];
        uint8_t *bytes[2] = { test_read_file(fed[0], &size[0]), test_read_file(fed[i], &size[1]) };
        assert_int_equal(size[0], size[1]);
        assert_memory_equal(bytes[0], bytes[1], size[0]);
        free(bytes[0]);
        free(bytes[1]);
    }
    int code;
    snprintf(line, sizeof line, "inspect %s --json", fed[0]);
    assert_non_null(strstr(test_ashlar(line, &code), "calibrated with calibration-text, xxh3-128 "));
    char *folder = test_path(name);
    assert_int_equal(test_count_entries(folder), 5); /* and no temporary file */
    check_input_scales(fed[0], strncmp(type, "fp8", 3) == 0);
    double before = divergence(whole, plain, text, ""), after = divergence(whole, fed[0], text, "");
    printf("# measure %s to %s: divergence %.5f, calibrated %.5f\n", name, type, before, after);
    assert_true(after < most * before);
    for (int i = 0; i < 3; i++)
        free(fed[i]);
    free(folder);
    free(plain);
    free(whole);
    free(text);
    free(source);
}

static void test_small_models(void **state)
{
    (void)state;
    need_blas();
    make_spec spec = make_defaults();
    spec.context = 1024;
    spec.tokenizer = true;
    check_model("cal-plain", &spec, "q4_k", 0.8);
    check_model("cal-fp8", &spec, "fp8", 0.6);
    check_model("cal-fp8-row", &spec, "fp8 --fp8-scale row", 0.6);
    spec.hidden = 320;
    spec.head_dim = 80;
    spec.tied = true;
    check_model("cal-tied", &spec, "q5_k", 0.8);
    spec.architecture = "qwen3";
    spec.dtype = ASH_Q8_0;
    spec.alternate = ASH_Q6_K; /* v and down have their type already, and keep it */
    spec.tied = false;
    spec.hidden = 512; /* GGUF wants whole blocks */
    spec.ffn = 512;
    check_model("cal-mixed", &spec, "q6_k", 0.8);
}

static void test_refusals(void **state)
{
    (void)state;
    need_blas();
    make_spec spec = make_defaults();
    spec.context = 1024;
    spec.tokenizer = true;
    char *source = make_gguf("refuse", &spec), *out = test_path("refuse/out.ashlar"), *text = write_text("few", 200);
    char line[4096];
    int code;
    snprintf(line, sizeof line, "convert %s -o %s --calibrate %s", source, out, text);
    assert_non_null(strstr(test_ashlar(line, &code), "--calibrate works with --type q4_k"));
    assert_int_equal(code, 2);
    snprintf(line, sizeof line, "convert %s -o %s --type q4_k --calibrate %s.missing", source, out, text);
    assert_non_null(strstr(test_ashlar(line, &code), "few.missing"));
    assert_int_equal(code, 1);
    char *empty = test_path("empty.txt");
    test_write_file(empty, "", 0);
    snprintf(line, sizeof line, "convert %s -o %s --type q4_k --calibrate %s", source, out, empty);
    assert_non_null(strstr(test_ashlar(line, &code), "too few tokens"));
    assert_int_equal(code, 1);
    /* An output that exists is refused before the work, not after it. */
    test_write_file(out, "x", 1);
    snprintf(line, sizeof line, "convert %s -o %s --type q4_k --calibrate %s.missing", source, out, text);
    assert_non_null(strstr(test_ashlar(line, &code), "already exists"));
    assert_int_equal(code, 1);
    char *folder = test_path("refuse");
    assert_int_equal(test_count_entries(folder), 1);
    free(folder);
    free(empty);
    free(text);
    free(out);
    free(source);
}

/* With 80,000 tokens the divergence is 0.02; so few tokens take less of it away, and less time. */
static void test_llama_30m(void **state)
{
    (void)state;
    need_blas();
    char *model = test_shared("models/llama-30m"), *text = test_shared("models/calibration.txt");
    char *eval = test_shared("models/eval.txt");
    if (!model || !text || !eval) {
        free(model);
        free(text);
        free(eval);
        skip();
    }
    char *whole = test_path("whole.ashlar"), *plain = test_path("plain.ashlar"), *fed = test_path("fed.ashlar");
    char line[4096];
    snprintf(line, sizeof line, "convert %s -o %s", model, whole);
    run_ok(line);
    snprintf(line, sizeof line, "convert %s -o %s --type q4_k", model, plain);
    run_ok(line);
    snprintf(line, sizeof line, "convert %s -o %s --type q4_k --calibrate %s --calibrate-tokens 8000", model, fed,
             text);
    run_ok(line);
    double before = divergence(whole, plain, eval, "--tokens 3000");
    double after = divergence(whole, fed, eval, "--tokens 3000");
    printf("# measure llama-30m q4_k, 8,000 tokens: divergence %.5f, calibrated %.5f\n", before, after);
    assert_true(after < 0.95 * before);
    free(whole);
    free(plain);
    free(fed);
    free(model);
    free(text);
    free(eval);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_models),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_llama_30m),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
