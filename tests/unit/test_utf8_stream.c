/* Streaming decode: nothing is lost or changed, whole characters come as soon as they are complete, and broken bytes as
 * soon as it is sure that they cannot be completed. */
#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer.h"
#include "runtime/utf8.h"
#include "tests/support/support.h"

/* The contract written down another way: how many of the bytes so far must be out. The tail that stays is the longest
 * one that some continuation turns into a character. */
static size_t must_be_out(const uint8_t *bytes, size_t size)
{
    for (size_t keep = size < 3 ? size : 3; keep > 0; keep--) {
        const uint8_t *tail = bytes + size - keep;
        if (ash_utf8_char(tail, keep, NULL) != 0)
            continue;
        uint8_t full[4] = { 0 };
        memcpy(full, tail, keep);
        for (size_t length = keep + 1; length <= 4; length++)
            for (unsigned a = 0x80; a < 0xc0; a++) { /* the second byte alone has a narrower range than 80 to bf */
                memset(full + keep, 0x80, 4 - keep);
                full[keep] = (uint8_t)a;
                if (ash_utf8_char(full, length, NULL) == length)
                    return size - keep;
            }
    }
    return size;
}

static void feed(const uint8_t *bytes, size_t size, test_rng *rng)
{
    ash_utf8_stream s = { 0 };
    char out[256];
    size_t at = 0, given = 0;
    while (at < size) {
        size_t n = rng ? test_rng_below(rng, 6) : 1;
        n = n < size - at ? n : size - at;
        char piece[16]; /* exactly what was promised: size + 8 */
        size_t got = ash_utf8_push(&s, (const char *)bytes + at, n, piece);
        assert_true(got <= n + 8);
        memcpy(out + given, piece, got);
        given += got;
        at += n;
        assert_int_equal(given, must_be_out(bytes, at));
    }
    char rest[8];
    size_t got = ash_utf8_flush(&s, rest);
    memcpy(out + given, rest, got);
    given += got;
    assert_int_equal(given, size);
    assert_memory_equal(out, bytes, size);
    assert_int_equal(ash_utf8_flush(&s, rest), 0);
}

static void test_known(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "plain",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "\xf0\x9f\x9a\x80",
        "a\xf0\x9f\x9a\x80z",
        "\x80",
        "\xbf\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xc3(",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xe0\xa0",
        "\xed\xa0\x80",
        "\xed\x9f",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x90",
        "\xf0\x90\x80",
        "\xf4\x90\x80\x80",
        "\xf4\x8f\xbf",
        "\xf5\x80",
        "\xff\xfe",
        "\xe2\x82\xe2\x82\xac",
        "\xf0\x9f\xc3\xa9",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        feed((const uint8_t *)texts[i], strlen(texts[i]), NULL);
}

static void test_random(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("utf8 stream");
    /* Bytes at the edges of the ranges, so that nearly valid sequences are frequent. */
    static const uint8_t edges[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf,
                                     0xe0, 0xe1, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff };
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[64];
        size_t size = test_rng_below(&rng, 24);
        for (size_t k = 0; k < size; k++)
            bytes[k] = i & 1 ? edges[test_rng_below(&rng, sizeof edges)] : (uint8_t)test_rng_next(&rng);
        feed(bytes, size, i & 2 ? &rng : NULL);
    }
}

/* Every code point goes through whole; surrogates and overlong forms are no characters. */
static void test_characters(void **state)
{
    (void)state;
    size_t whole = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t b[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = n; i-- > 1;)
            b[i] = (uint8_t)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
        b[0] = (uint8_t)(n == 1 ? c : (0xf00 >> n & 0xff) | c >> 6 * (n - 1));
        uint32_t code = 0;
        size_t got = ash_utf8_char(b, n, &code);
        if (c >= 0xd800 && c < 0xe000) {
            assert_int_equal(got, 0);
            continue;
        }
        assert_int_equal(got, n);
        assert_int_equal(code, c);
        assert_int_equal(ash_utf8_last(b, n, &code), n);
        assert_int_equal(ash_utf8_char(b, n - 1, NULL), 0);
        whole++;
    }
    assert_int_equal(whole, 0x110000 - 0x800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
