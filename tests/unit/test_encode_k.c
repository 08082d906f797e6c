/* Floats to K-quant blocks: the same bytes on every machine; against grids that must be found again, against plain
 * rounding, and, on a trained model, against the error that llama.cpp's quantizer leaves. That every kernel gives the
 * scalar one's bytes: test_encode_levels.c. */
#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "convert/convert.h"
#include "format/blocks.h"
#include "format/halffloat.h"
#include "format/json.h"
#include "format/safetensors.h"
#include "kernels/kernels.h"
#include "quant/encode.h"
#include "tests/support/encode_rows.h"
#include "tests/support/read_back.h"
#include "tests/support/support.h"

static const ash_dtype k_types[] = { ASH_Q4_K, ASH_Q5_K, ASH_Q6_K };

static uint64_t row_bytes(ash_dtype dtype, int64_t cols)
{
    uint64_t bytes;
    assert_true(ash_row_bytes(dtype, (uint64_t)cols, &bytes));
    return bytes;
}

/* ---- the search itself ---- */

static ash_kernels best;

/* The same bytes on every machine: the hash of what the search makes of these rows. A change of the
 * search changes it, on purpose or not; then files that were made before are not made again bit for bit. */
static void same_bytes_everywhere(void **state)
{
    (void)state;
    static const uint64_t expected[][2] = { { UINT64_C(0xfeeda207d81fdbda), UINT64_C(0xba3edb1657e446af) }, { UINT64_C(0x7060cb202c71ac30), UINT64_C(0xe3226553177d0925) }, { UINT64_C(0xd355d03394ce08cd), UINT64_C(0xc4a7c410cc71a8ac) } };
    static const int64_t lengths[] = { 33, 256, 576, 1000 };
    for (size_t t = 0; t < sizeof k_types / sizeof *k_types; t++)
        for (int weighted = 0; weighted < 2; weighted++) {
            test_rng rng = { 0x61736820 }; /* whatever the seed of the run */
            XXH3_state_t *hash = XXH3_createState();
            assert_non_null(hash);
            XXH3_64bits_reset(hash);
            for (size_t round = 0; round < 4 * ROW_KINDS; round++) {
                float x[1000], w[1000];
                uint8_t out[4 * 210];
                int64_t n = lengths[round / ROW_KINDS];
                for (int64_t i = 0; i < n; i++) {
                    x[i] = test_row_element((row_kind)(round % ROW_KINDS), i, &rng);
                    w[i] = test_rng_below(&rng, 4) ? fabsf(test_normal(&rng)) : 0;
                }
                best.encode[k_types[t]](x, weighted ? w : NULL, n, out);
                XXH3_64bits_update(hash, out, row_bytes(k_types[t], n));
            }
            uint64_t got = XXH3_64bits_digest(hash);
            XXH3_freeState(hash);
            if (got != expected[t][weighted])
                fail_msg("%s, weighted %d: 0x%016llx", ash_dtype_name(k_types[t]), weighted, (unsigned long long)got);
        }
}

static double weighted_error(ash_dtype dtype, const uint8_t *blocks, const float *x, const float *w, int64_t cols)
{
    float *y = malloc((size_t)cols * sizeof *y);
    double sum = 0;
    assert_non_null(y);
    ash_decode_row(dtype, blocks, cols, y);
    for (int64_t i = 0; i < cols; i++)
        sum += (w ? (double)w[i] : 1) * ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
    free(y);
    return sum;
}

/* Rows that lie on a grid whose sub-blocks use all codes, with the largest scale and minimum at the ends of their
 * ranges: encoding finds the grid again, and nothing is lost. */
static void grids_found(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("grids");
    for (int round = 0; round < 200; round++)
        for (size_t t = 0; t < sizeof k_types / sizeof *k_types; t++) {
            bool six = k_types[t] == ASH_Q6_K;
            int top = six ? 63 : k_types[t] == ASH_Q5_K ? 31 : 15, sub = six ? 16 : 32;
            float x[256];
            int worst = (int)test_rng_below(&rng, (uint32_t)(256 / sub));
            for (int j = 0; j < 256 / sub; j++) {
                int sc = j == worst ? 63 : 20 + (int)test_rng_below(&rng, 43);
                int mn = j == worst ? 63 : (int)test_rng_below(&rng, 63);
                for (int i = 0; i < sub; i++) {
                    int q = i == 0 ? 0 : i == 1 ? top : (int)test_rng_below(&rng, (uint32_t)top + 1);
                    float scale = six ? (float)(j == worst ? -128 : sc) : (float)sc;
                    x[j * sub + i] = six ? scale * (float)(q - 32) * 0x1p-9f
                                         : scale * (float)q * 0x1p-9f - (float)mn * 0x1.8p-6f;
                }
            }
            uint8_t out[256];
            best.encode[k_types[t]](x, NULL, 256, out);
            double lost = weighted_error(k_types[t], out, x, NULL, 256);
            if (lost != 0)
                fail_msg("%s, round %d: an error of %g where there is a grid without", ash_dtype_name(k_types[t]), round, lost);
        }
}

/* Plain rounding: the range of each sub-block over all codes, scales of 6 (Q6_K: 8) bits. */
static double plain_error(ash_dtype dtype, const float *x, int64_t cols)
{
    bool six = dtype == ASH_Q6_K;
    int sub = six ? 16 : 32, top = dtype == ASH_Q5_K ? 31 : 15;
    double sum = 0;
    for (int64_t b = 0; b < cols; b += 256) {
        double scale[16], low[16], most = 0, least = 0;
        for (int j = 0; j < 256 / sub; j++) {
            double a = 0, z = 0;
            for (int i = 0; i < sub; i++) {
                a = fmin(a, (double)x[b + j * sub + i]);
                z = fmax(z, (double)x[b + j * sub + i]);
            }
            scale[j] = six ? fmax(-a, z) / 31 : (z - a) / top;
            low[j] = a;
            most = fmax(most, scale[j]);
            least = fmin(least, a);
        }
        for (int j = 0; j < 256 / sub; j++) {
            double s = most == 0 ? 0 : round(scale[j] / most * (six ? 127 : 63)) * most / (six ? 127 : 63);
            double m = least == 0 || six ? 0 : round(low[j] / least * 63) * least / 63;
            for (int i = 0; i < sub; i++) {
                double v = (double)x[b + j * sub + i], q = s == 0 ? 0 : round((v - m) / s);
                q = six ? fmin(fmax(q, -32), 31) : fmin(fmax(q, 0), top);
                sum += (v - m - s * q) * (v - m - s * q);
            }
        }
    }
    return sum;
}

static void better_than_plain(void **state)
{
    (void)state;
    enum { ROWS = 64, COLS = 512 };
    test_rng rng = test_rng_start("plain");
    for (size_t t = 0; t < sizeof k_types / sizeof *k_types; t++) {
        double searched = 0, plain = 0, weighed = 0, unweighed = 0;
        for (int r = 0; r < ROWS; r++) {
            float x[COLS], w[COLS];
            uint8_t out[1024];
            for (int i = 0; i < COLS; i++) {
                x[i] = test_normal(&rng);
                w[i] = test_rng_below(&rng, 8) ? 0.1f : 10;
            }
            best.encode[k_types[t]](x, NULL, COLS, out);
            searched += weighted_error(k_types[t], out, x, NULL, COLS);
            unweighed += weighted_error(k_types[t], out, x, w, COLS);
            plain += plain_error(k_types[t], x, COLS);
            best.encode[k_types[t]](x, w, COLS, out);
            weighed += weighted_error(k_types[t], out, x, w, COLS);
        }
        printf("# measure %s: %.3f of plain rounding's error; weights take %.3f of the weighted error away\n",
               ash_dtype_name(k_types[t]), searched / plain, 1 - weighed / unweighed);
        assert_true(searched < plain);
        assert_true(weighed < unweighed);
    }
}

static void columns_behind(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof k_types / sizeof *k_types; t++)
        for (int cols = 1; cols < 256; cols += 17) {
            float x[256], y[256];
            uint8_t out[256], whole[256];
            for (int i = 0; i < 256; i++)
                x[i] = i < cols ? (float)(i % 13) - 4 : 0;
            best.encode[k_types[t]](x, NULL, cols, out);
            ash_decode_row(k_types[t], out, 256, y); /* as if the row were longer */
            bool six = k_types[t] == ASH_Q6_K;
            for (int i = cols; i < 256; i++) { /* code 0, in sub-blocks that are empty without scale and minimum */
                int sub = six ? 16 : 32;
                if (i >= (cols + sub - 1) / sub * sub)
                    assert_true(y[i] == 0);
            }
            memcpy(whole, out, sizeof whole);
            if (!six) {
                const uint8_t *qs = k_types[t] == ASH_Q4_K ? ((ash_block_q4_k *)whole)->qs : ((ash_block_q5_k *)whole)->qs;
                for (int i = cols; i < 256; i++)
                    assert_int_equal(qs[i / 64 * 32 + i % 32] >> (i % 64 < 32 ? 0 : 4) & 15, 0);
            } else {
                const ash_block_q6_k *b = (ash_block_q6_k *)whole;
                for (int i = cols; i < 256; i++)
                    assert_int_equal(b->qh[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3, 0);
            }
        }
}

static void refused(void **state)
{
    (void)state;
    ash_error err;
    float x[64] = { 1 };
    uint8_t out[256];
    static const float bad[] = { NAN, INFINITY, -INFINITY, 4126753.0f, -FLT_MAX };
    for (size_t t = 0; t < sizeof k_types / sizeof *k_types; t++) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            x[40] = bad[i];
            assert_int_equal(ash_encode_row(&best, k_types[t], x, NULL, 64, out, &err), ASH_E_UNSUPPORTED);
            assert_non_null(strstr(err.text, "column 40 is "));
        }
        x[40] = -ASH_ENCODE_K_MAX;
        assert_ok(ash_encode_row(&best, k_types[t], x, NULL, 64, out, &err), &err);
        float y[64];
        ash_decode_row(k_types[t], out, 64, y);
        for (int i = 0; i < 64; i++)
            assert_true(isfinite(y[i]));
    }
}

/* ---- beside the peer ---- */

static double relative_error(const ash_file *file, const ash_safetensors *st, const ash_st_tensor *source)
{
    const ash_tensor_record *tensor;
    const ash_member_record *member;
    ash_error err;
    size_t size;
    assert_true(read_back_find(file, source->name, &tensor, &member));
    uint8_t *ours = read_back(file, tensor, member, &size), *row = malloc(source->shape[1] * 2);
    float *x = malloc(source->shape[1] * sizeof *x);
    double error = 0, squares = 0;
    int64_t cols = (int64_t)source->shape[1];
    assert_true(ours && row && x);
    for (uint64_t r = 0; r < source->shape[0]; r++) {
        assert_ok(ash_safetensors_read(st, source, r * (uint64_t)cols * 2, row, (size_t)cols * 2, &err), &err);
        ash_decode_row(source->dtype, row, cols, x);
        error += weighted_error(tensor->dtype, ours + r * row_bytes(tensor->dtype, cols), x, NULL, cols);
        for (int64_t i = 0; i < cols; i++)
            squares += (double)x[i] * (double)x[i];
    }
    free(ours), free(row), free(x);
    return error / squares;
}

/* tests/fixtures/peer_quant_error.json (its script stands beside it): the relative squared error of every matrix of
 * llama-30m as llama.cpp's quantizer leaves it. Ours is at most that, each. */
static void at_most_the_peers(void **state)
{
    (void)state;
    char *folder = test_shared("models/llama-30m");
    if (!folder)
        skip();
    ash_error err;
    cJSON *fixture = NULL;
    assert_ok(ash_json_read_file("tests/fixtures/peer_quant_error.json", 1 << 20, &fixture, &err), &err);
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(folder, &st, &err), &err);
    for (size_t t = 0; t < sizeof k_types / sizeof *k_types; t++) {
        const cJSON *peer = ash_json_get(fixture, ash_dtype_name(k_types[t]));
        char *path = test_path("typed.ashlar");
        ash_convert_options options = { .type = k_types[t], .force = true, .threads = 2 };
        assert_ok(ash_convert(folder, path, &options, NULL, &err), &err);
        ash_file *file = read_back_open(path);
        double worst = 0;
        uint32_t seen = 0;
        for (uint32_t i = 0; i < ash_safetensors_count(st); i++) {
            const ash_st_tensor *source = ash_safetensors_tensor(st, i);
            if (source->dim_count != 2)
                continue;
            const cJSON *theirs = ash_json_get(peer, source->name);
            assert_true(cJSON_IsNumber(theirs));
            double ours = relative_error(file, st, source);
            if (ours > theirs->valuedouble)
                fail_msg("%s in %s: relative error %g, the peer's %g", source->name, ash_dtype_name(k_types[t]), ours,
                         theirs->valuedouble);
            worst = fmax(worst, ours / theirs->valuedouble);
            seen++;
        }
        assert_int_equal(seen, cJSON_GetArraySize(peer));
        printf("# measure %s: at most %.3f of the peer's error in any matrix\n", ash_dtype_name(k_types[t]), worst);
        ash_file_close(file);
        free(path);
    }
    ash_safetensors_close(st);
    cJSON_Delete(fixture);
    free(folder);
}

int main(void)
{
    ash_kernels_init(&best, ASH_LEVEL_COUNT - 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_everywhere), cmocka_unit_test(grids_found), cmocka_unit_test(better_than_plain),
        cmocka_unit_test(columns_behind),        cmocka_unit_test(refused),     cmocka_unit_test(at_most_the_peers),
    };
    return cmocka_run_group_tests_name("K-quant encoding", tests, NULL, NULL);
}
