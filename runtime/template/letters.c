#include "runtime/template/letters.h"

#include <utf8proc.h>

#include "runtime/utf8.h"

/* Characters whose upper case is several: utf8proc maps one to one. From Unicode's SpecialCasing. */
static const struct { uint16_t code, to[3]; } several[] = {
    { 0x00df, { 0x0053, 0x0053 } }, { 0x0149, { 0x02bc, 0x004e } }, { 0x01f0, { 0x004a, 0x030c } },
    { 0x0390, { 0x0399, 0x0308, 0x0301 } }, { 0x03b0, { 0x03a5, 0x0308, 0x0301 } }, { 0x0587, { 0x0535, 0x0552 } },
    { 0x1e96, { 0x0048, 0x0331 } }, { 0x1e97, { 0x0054, 0x0308 } }, { 0x1e98, { 0x0057, 0x030a } },
    { 0x1e99, { 0x0059, 0x030a } }, { 0x1e9a, { 0x0041, 0x02be } }, { 0x1f50, { 0x03a5, 0x0313 } },
    { 0x1f52, { 0x03a5, 0x0313, 0x0300 } }, { 0x1f54, { 0x03a5, 0x0313, 0x0301 } },
    { 0x1f56, { 0x03a5, 0x0313, 0x0342 } }, { 0x1f80, { 0x1f08, 0x0399 } }, { 0x1f81, { 0x1f09, 0x0399 } },
    { 0x1f82, { 0x1f0a, 0x0399 } }, { 0x1f83, { 0x1f0b, 0x0399 } }, { 0x1f84, { 0x1f0c, 0x0399 } },
    { 0x1f85, { 0x1f0d, 0x0399 } }, { 0x1f86, { 0x1f0e, 0x0399 } }, { 0x1f87, { 0x1f0f, 0x0399 } },
    { 0x1f88, { 0x1f08, 0x0399 } }, { 0x1f89, { 0x1f09, 0x0399 } }, { 0x1f8a, { 0x1f0a, 0x0399 } },
    { 0x1f8b, { 0x1f0b, 0x0399 } }, { 0x1f8c, { 0x1f0c, 0x0399 } }, { 0x1f8d, { 0x1f0d, 0x0399 } },
    { 0x1f8e, { 0x1f0e, 0x0399 } }, { 0x1f8f, { 0x1f0f, 0x0399 } }, { 0x1f90, { 0x1f28, 0x0399 } },
    { 0x1f91, { 0x1f29, 0x0399 } }, { 0x1f92, { 0x1f2a, 0x0399 } }, { 0x1f93, { 0x1f2b, 0x0399 } },
    { 0x1f94, { 0x1f2c, 0x0399 } }, { 0x1f95, { 0x1f2d, 0x0399 } }, { 0x1f96, { 0x1f2e, 0x0399 } },
    { 0x1f97, { 0x1f2f, 0x0399 } }, { 0x1f98, { 0x1f28, 0x0399 } }, { 0x1f99, { 0x1f29, 0x0399 } },
    { 0x1f9a, { 0x1f2a, 0x0399 } }, { 0x1f9b, { 0x1f2b, 0x0399 } }, { 0x1f9c, { 0x1f2c, 0x0399 } },
    { 0x1f9d, { 0x1f2d, 0x0399 } }, { 0x1f9e, { 0x1f2e, 0x0399 } }, { 0x1f9f, { 0x1f2f, 0x0399 } },
    { 0x1fa0, { 0x1f68, 0x0399 } }, { 0x1fa1, { 0x1f69, 0x0399 } }, { 0x1fa2, { 0x1f6a, 0x0399 } },
    { 0x1fa3, { 0x1f6b, 0x0399 } }, { 0x1fa4, { 0x1f6c, 0x0399 } }, { 0x1fa5, { 0x1f6d, 0x0399 } },
    { 0x1fa6, { 0x1f6e, 0x0399 } }, { 0x1fa7, { 0x1f6f, 0x0399 } }, { 0x1fa8, { 0x1f68, 0x0399 } },
    { 0x1fa9, { 0x1f69, 0x0399 } }, { 0x1faa, { 0x1f6a, 0x0399 } }, { 0x1fab, { 0x1f6b, 0x0399 } },
    { 0x1fac, { 0x1f6c, 0x0399 } }, { 0x1fad, { 0x1f6d, 0x0399 } }, { 0x1fae, { 0x1f6e, 0x0399 } },
    { 0x1faf, { 0x1f6f, 0x0399 } }, { 0x1fb2, { 0x1fba, 0x0399 } }, { 0x1fb3, { 0x0391, 0x0399 } },
    { 0x1fb4, { 0x0386, 0x0399 } }, { 0x1fb6, { 0x0391, 0x0342 } }, { 0x1fb7, { 0x0391, 0x0342, 0x0399 } },
    { 0x1fbc, { 0x0391, 0x0399 } }, { 0x1fc2, { 0x1fca, 0x0399 } }, { 0x1fc3, { 0x0397, 0x0399 } },
    { 0x1fc4, { 0x0389, 0x0399 } }, { 0x1fc6, { 0x0397, 0x0342 } }, { 0x1fc7, { 0x0397, 0x0342, 0x0399 } },
    { 0x1fcc, { 0x0397, 0x0399 } }, { 0x1fd2, { 0x0399, 0x0308, 0x0300 } }, { 0x1fd3, { 0x0399, 0x0308, 0x0301 } },
    { 0x1fd6, { 0x0399, 0x0342 } }, { 0x1fd7, { 0x0399, 0x0308, 0x0342 } }, { 0x1fe2, { 0x03a5, 0x0308, 0x0300 } },
    { 0x1fe3, { 0x03a5, 0x0308, 0x0301 } }, { 0x1fe4, { 0x03a1, 0x0313 } }, { 0x1fe6, { 0x03a5, 0x0342 } },
    { 0x1fe7, { 0x03a5, 0x0308, 0x0342 } }, { 0x1ff2, { 0x1ffa, 0x0399 } }, { 0x1ff3, { 0x03a9, 0x0399 } },
    { 0x1ff4, { 0x038f, 0x0399 } }, { 0x1ff6, { 0x03a9, 0x0342 } }, { 0x1ff7, { 0x03a9, 0x0342, 0x0399 } },
    { 0x1ffc, { 0x03a9, 0x0399 } }, { 0xfb00, { 0x0046, 0x0046 } }, { 0xfb01, { 0x0046, 0x0049 } },
    { 0xfb02, { 0x0046, 0x004c } }, { 0xfb03, { 0x0046, 0x0046, 0x0049 } }, { 0xfb04, { 0x0046, 0x0046, 0x004c } },
    { 0xfb05, { 0x0053, 0x0054 } }, { 0xfb06, { 0x0053, 0x0054 } }, { 0xfb13, { 0x0544, 0x0546 } },
    { 0xfb14, { 0x0544, 0x0535 } }, { 0xfb15, { 0x0544, 0x053b } }, { 0xfb16, { 0x054e, 0x0546 } },
    { 0xfb17, { 0x0544, 0x053d } },
};

#define ACCENTED_I 0x130 /* its lower case is an i and a dot above */
#define SIGMA 0x3a3      /* has another lower case at the end of a word */

static const uint16_t *several_upper(uint32_t code)
{
    size_t low = 0, high = sizeof several / sizeof *several;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (several[middle].code == code)
            return several[middle].to;
        if (several[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool is_upper(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_LU || (code >= 0x2160 && code <= 0x216f) ||
           (code >= 0x24b6 && code <= 0x24cf);
}

static bool is_lower(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_LL ||
           utf8proc_islower((utf8proc_int32_t)code);
}

static bool is_title(uint32_t code) { return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_LT; }
static bool is_cased(uint32_t code) { return is_upper(code) || is_lower(code) || is_title(code); }

static ash_status put_code(ash_run *r, ash_builder *b, uint32_t code, bool input)
{
    utf8proc_uint8_t bytes[4];
    return ash_build(r, b, (const char *)bytes, (size_t)utf8proc_encode_char((utf8proc_int32_t)code, bytes), input);
}

static ash_status put_upper(ash_run *r, ash_builder *b, uint32_t code, bool title, bool input)
{
    const uint16_t *to = several_upper(code);
    if (!to)
        return put_code(r, b, (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)code)
                                               : utf8proc_toupper((utf8proc_int32_t)code)), input);
    for (int i = 0; i < 3 && to[i]; i++)
        ASH_TRY(put_code(r, b, i && title ? (uint32_t)utf8proc_tolower(to[i]) : to[i], input));
    return ASH_OK;
}

static ash_status put_lower(ash_run *r, ash_builder *b, uint32_t code, bool word_ends, bool input)
{
    if (code == ACCENTED_I) {
        ASH_TRY(put_code(r, b, 'i', input));
        return put_code(r, b, 0x307, input);
    }
    if (code == SIGMA && word_ends)
        return put_code(r, b, 0x3c2, input);
    return put_code(r, b, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code), input);
}

/* Changes s[from, to). `cased`: the character before was a letter with case. */
static ash_status change(ash_run *r, ash_builder *b, const ash_string *s, ash_case how)
{
    bool cased = false;
    for (size_t at = 0; at < s->bytes;) {
        uint32_t code, next = 0;
        size_t n = ash_char_bytes(s->text + at, s->bytes - at, &code);
        bool input = ash_mark_at(s, at), stray = n == 1 && (s->text[at] & 0x80);
        bool up = how == ASH_UPPER || (how == ASH_TITLE && !cased) || (how == ASH_CAPITALIZE && at == 0) ||
                  (how == ASH_SWAP && is_lower(code));
        if (at + n < s->bytes)
            ash_char_bytes(s->text + at + n, s->bytes - at - n, &next);
        if (stray || (how == ASH_SWAP && !is_cased(code)))
            ASH_TRY(ash_build(r, b, s->text + at, n, input));
        else if (how == ASH_FOLD && several_upper(code)) /* folds to what the lower case of its upper case is */
            for (const uint16_t *to = several_upper(code), *end = to + 3; to < end && *to; to++)
                ASH_TRY(put_code(r, b, (uint32_t)utf8proc_tolower(*to), input));
        else if (up)
            ASH_TRY(put_upper(r, b, code, how != ASH_UPPER && how != ASH_SWAP, input));
        else
            ASH_TRY(put_lower(r, b, code, how != ASH_FOLD && cased && !is_cased(next), input));
        cased = is_cased(code);
        at += n;
    }
    return ASH_OK;
}

ash_status ash_string_case(ash_run *r, const ash_string *s, ash_case how, const ash_string **out)
{
    ash_builder *b;
    ASH_TRY(ash_run_change(r, s->bytes));
    ASH_TRY(ash_builder_new(r, (size_t)s->bytes + 8, &b));
    ASH_TRY(change(r, b, s, how));
    return ash_builder_string(r, b, out);
}

ash_status ash_build_capitalized(ash_run *r, ash_builder *b, const ash_string *s)
{
    ASH_TRY(ash_run_change(r, s->bytes));
    return change(r, b, s, ASH_CAPITALIZE);
}

/* ---- classes ---- */

bool ash_is_printable(uint32_t code)
{
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_CS: case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP:
        return false;
    case UTF8PROC_CATEGORY_ZS:
        return code == ' ';
    default:
        return true;
    }
}

/* Superscripts, subscripts and circled digits are digits too. */
static bool is_digit(uint32_t code)
{
    return code == 0xb2 || code == 0xb3 || code == 0xb9 || code == 0x2070 || (code >= 0x2074 && code <= 0x2079) ||
           (code >= 0x2080 && code <= 0x2089) || (code >= 0x2460 && code <= 0x2468) ||
           (code >= 0x2474 && code <= 0x247c) || (code >= 0x2488 && code <= 0x2490) ||
           utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_ND;
}

static bool is_alpha(utf8proc_category_t c) { return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO; }

static bool is_one(uint32_t code, ash_class what, bool first)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    bool numeric = is_digit(code) || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
    switch (what) {
    case ASH_IS_ALPHA: return is_alpha(category);
    case ASH_IS_DIGIT: return is_digit(code);
    case ASH_IS_DECIMAL: return category == UTF8PROC_CATEGORY_ND;
    case ASH_IS_NUMERIC: return numeric;
    case ASH_IS_ALNUM: return is_alpha(category) || numeric;
    case ASH_IS_SPACE: return ash_is_py_space(code);
    case ASH_IS_PRINTABLE: return ash_is_printable(code);
    case ASH_IS_ASCII: return code < 0x80;
    default: /* an identifier */
        return is_alpha(category) || category == UTF8PROC_CATEGORY_NL || code == '_' || (!first && ash_is_word(code));
    }
}

/* Cased letters, all of them upper, lower, or upper exactly where a word begins. */
static bool is_all_cased(const ash_string *s, ash_class what)
{
    bool any = false, before = false;
    for (size_t at = 0; at < s->bytes;) {
        uint32_t code;
        at += ash_char_bytes(s->text + at, s->bytes - at, &code);
        bool upper = is_upper(code), lower = is_lower(code), title = is_title(code);
        bool wrong = what == ASH_IS_UPPER ? lower || title : what == ASH_IS_LOWER ? upper || title :
                     upper || title ? before : lower && !before;
        if (wrong)
            return false;
        before = upper || lower || title;
        any |= before;
    }
    return any;
}

bool ash_string_is_all(const ash_string *s, ash_class what)
{
    if (what == ASH_IS_UPPER || what == ASH_IS_LOWER || what == ASH_IS_TITLE)
        return is_all_cased(s, what);
    for (size_t at = 0; at < s->bytes;) {
        uint32_t code;
        size_t n = ash_char_bytes(s->text + at, s->bytes - at, &code);
        if (!is_one(code, what, at == 0))
            return false;
        at += n;
    }
    return s->bytes > 0 || what == ASH_IS_PRINTABLE || what == ASH_IS_ASCII;
}
