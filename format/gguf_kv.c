/* GGUF key-values: parsing, lookup, typed access.
 *
 * A pair is: u64 key length, key, u32 type, value. A string is u64 length and bytes; an array is u32 element type,
 * u64 count, elements. Nothing is converted: a parsed pair points at the file's bytes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/gguf_internal.h"

/* At most this much of a hostile name goes into a message. */
static int shown(uint64_t size) { return size < 80 ? (int)size : 80; }

uint32_t ash_gguf_scalar_bytes(uint32_t type)
{
    switch (type) {
    case ASH_GGUF_U8: case ASH_GGUF_I8: case ASH_GGUF_BOOL: return 1;
    case ASH_GGUF_U16: case ASH_GGUF_I16: return 2;
    case ASH_GGUF_U32: case ASH_GGUF_I32: case ASH_GGUF_F32: return 4;
    case ASH_GGUF_U64: case ASH_GGUF_I64: case ASH_GGUF_F64: return 8;
    default: return 0;
    }
}

ash_status ash_gguf_scan_take(ash_gguf_scan *s, uint64_t n, const char *what, const uint8_t **out, ash_error *err)
{
    *out = NULL;
    if (n > s->limit - s->c.at)
        return ash_fail(err, ASH_E_FORMAT, "ends inside %s: %" PRIu64 " bytes are needed at byte %" PRIu64
                        ", %" PRIu64 " are left; the file is truncated or damaged, fetch it again",
                        what, n, s->c.at, s->limit - s->c.at);
    if (n > ash_cursor_left(&s->c)) {
        s->want = s->c.at + n;
        return ash_fail(err, ASH_E_FORMAT, "%s is not in memory", what);
    }
    *out = ash_take(&s->c, n);
    return ASH_OK;
}

ash_status ash_gguf_scan_u32(ash_gguf_scan *s, const char *what, uint32_t *out, ash_error *err)
{
    const uint8_t *p;
    *out = 0;
    ASH_TRY(ash_gguf_scan_take(s, sizeof *out, what, &p, err));
    memcpy(out, p, sizeof *out);
    return ASH_OK;
}

ash_status ash_gguf_scan_u64(ash_gguf_scan *s, const char *what, uint64_t *out, ash_error *err)
{
    const uint8_t *p;
    *out = 0;
    ASH_TRY(ash_gguf_scan_take(s, sizeof *out, what, &p, err));
    memcpy(out, p, sizeof *out);
    return ASH_OK;
}

/* A bool is one byte, 0 or 1; anything else is damage that would read as true in one tool and false in another. */
static bool bools_valid(const uint8_t *p, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (p[i] > 1)
            return false;
    return true;
}

static ash_status parse_array(ash_gguf_scan *s, ash_gguf_kv *kv, ash_error *err)
{
    uint32_t element;
    ASH_TRY(ash_gguf_scan_u32(s, "an array's type", &element, err));
    ASH_TRY(ash_gguf_scan_u64(s, "an array's length", &kv->count, err));
    if (element == ASH_GGUF_ARRAY)
        return ash_fail(err, ASH_E_UNSUPPORTED, "key '%.*s' is an array of arrays, which ashlar does not read",
                        shown(kv->key.size), kv->key.text);
    if (element > ASH_GGUF_F64)
        return ash_fail(err, ASH_E_FORMAT, "key '%.*s' has elements of type %" PRIu32 ", which GGUF does not define",
                        shown(kv->key.size), kv->key.text, element);
    kv->element = (ash_gguf_type)element;

    /* A string takes at least its length's 8 bytes. Checked before anything walks or multiplies. */
    uint64_t left = s->limit - s->c.at, each = element == ASH_GGUF_STRING ? 8 : ash_gguf_scalar_bytes(element);
    if (kv->count > left / each)
        return ash_fail(err, ASH_E_FORMAT, "key '%.*s' declares %" PRIu64 " elements, more than the %" PRIu64
                        " bytes that follow can hold; the file is truncated or damaged",
                        shown(kv->key.size), kv->key.text, kv->count, left);
    uint64_t start = s->c.at;
    const uint8_t *p;
    if (element != ASH_GGUF_STRING) {
        kv->value_size = kv->count * each;
        ASH_TRY(ash_gguf_scan_take(s, kv->value_size, "an array", &kv->value, err));
        if (element == ASH_GGUF_BOOL && !bools_valid(kv->value, kv->count))
            return ash_fail(err, ASH_E_FORMAT, "key '%.*s' has a bool that is neither 0 nor 1; the file is damaged",
                            shown(kv->key.size), kv->key.text);
        return ASH_OK;
    }
    for (uint64_t i = 0; i < kv->count; i++) {
        uint64_t length;
        ASH_TRY(ash_gguf_scan_u64(s, "an array's string", &length, err));
        ASH_TRY(ash_gguf_scan_take(s, length, "an array's string", &p, err));
    }
    kv->value = s->c.bytes + start;
    kv->value_size = s->c.at - start;
    return ASH_OK;
}

static ash_status parse_pair(ash_gguf_scan *s, ash_gguf_kv *kv, ash_error *err)
{
    *kv = (ash_gguf_kv){ 0 };
    uint64_t start = s->c.at;
    uint32_t type;
    const uint8_t *p;

    ASH_TRY(ash_gguf_scan_u64(s, "a key", &kv->key.size, err));
    if (kv->key.size == 0 || kv->key.size > ASH_GGUF_MAX_KEY_BYTES)
        return ash_fail(err, ASH_E_FORMAT, "a key at byte %" PRIu64 " is %" PRIu64
                        " bytes long (1 to %d are allowed); the file is damaged",
                        start, kv->key.size, ASH_GGUF_MAX_KEY_BYTES);
    ASH_TRY(ash_gguf_scan_take(s, kv->key.size, "a key", &p, err));
    kv->key.text = (const char *)p;
    if (memchr(p, 0, kv->key.size))
        return ash_fail(err, ASH_E_FORMAT, "the key at byte %" PRIu64 " has a NUL inside; the file is damaged", start);
    ASH_TRY(ash_gguf_scan_u32(s, "a value's type", &type, err));
    if (type > ASH_GGUF_F64)
        return ash_fail(err, ASH_E_FORMAT, "key '%.*s' has type %" PRIu32 ", which GGUF does not define",
                        shown(kv->key.size), kv->key.text, type);
    kv->type = (ash_gguf_type)type;

    if (type == ASH_GGUF_ARRAY) {
        ASH_TRY(parse_array(s, kv, err));
    } else {
        kv->value_size = ash_gguf_scalar_bytes(type);
        if (type == ASH_GGUF_STRING)
            ASH_TRY(ash_gguf_scan_u64(s, "a string's length", &kv->value_size, err));
        ASH_TRY(ash_gguf_scan_take(s, kv->value_size, "a value", &kv->value, err));
        if (type == ASH_GGUF_BOOL && !bools_valid(kv->value, 1))
            return ash_fail(err, ASH_E_FORMAT, "key '%.*s' is a bool that is neither 0 nor 1; the file is damaged",
                            shown(kv->key.size), kv->key.text);
    }
    kv->record = s->c.bytes + start;
    kv->record_size = s->c.at - start;
    return ASH_OK;
}

static int compare_keys(const char *a, uint64_t a_size, const char *b, uint64_t b_size)
{
    int c = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return c ? c : (a_size > b_size) - (a_size < b_size);
}

static int compare_order(const void *a, const void *b, void *context)
{
    const ash_gguf_kv *kv = context, *x = &kv[*(const uint32_t *)a], *y = &kv[*(const uint32_t *)b];
    return compare_keys(x->key.text, x->key.size, y->key.text, y->key.size);
}

static ash_status sort_keys(ash_gguf_table *t, ash_error *err)
{
    t->order = malloc((t->count + 1) * sizeof *t->order);
    if (!t->order)
        return ash_fail(err, ASH_E_MEMORY, "no memory for %" PRIu64 " keys", t->count);
    for (uint32_t i = 0; i < t->count; i++)
        t->order[i] = i;
    if (t->count > 1)
        qsort_r(t->order, t->count, sizeof *t->order, compare_order, t->kv);
    for (uint64_t i = 1; i < t->count; i++) {
        if (compare_order(&t->order[i - 1], &t->order[i], t->kv) != 0)
            continue;
        const ash_gguf_string *key = &t->kv[t->order[i]].key;
        return ash_fail(err, ASH_E_FORMAT, "key '%.*s' occurs twice; the file is damaged", shown(key->size), key->text);
    }
    return ASH_OK;
}

static ash_status parse_pairs(ash_gguf_scan *s, uint64_t count, ash_gguf_table *t, ash_error *err)
{
    /* The shortest pair: key length, one byte, type, one byte. */
    const uint64_t least = 8 + 1 + 4 + 1;
    if (count > (s->limit - s->c.at) / least)
        return ash_fail(err, ASH_E_FORMAT, "declares %" PRIu64 " key-values, more than its %" PRIu64
                        " bytes can hold; the file is truncated or damaged", count, s->limit);
    if (count > ASH_GGUF_MAX_KEYS)
        return ash_fail(err, ASH_E_LIMIT, "declares %" PRIu64 " key-values; ashlar reads at most %" PRIu64,
                        count, ASH_GGUF_MAX_KEYS);
    t->kv = malloc((count + 1) * sizeof *t->kv);
    if (!t->kv)
        return ash_fail(err, ASH_E_MEMORY, "no memory for %" PRIu64 " keys", count);
    for (; t->count < count; t->count++)
        ASH_TRY(parse_pair(s, &t->kv[t->count], err));
    return sort_keys(t, err);
}

ash_status ash_gguf_table_parse(ash_gguf_scan *s, uint64_t count, ash_gguf_table *table, ash_error *err)
{
    *table = (ash_gguf_table){ 0 };
    ash_status status = parse_pairs(s, count, table, err);
    if (status != ASH_OK)
        ash_gguf_table_free(table);
    return status;
}

void ash_gguf_table_free(ash_gguf_table *table)
{
    free(table->kv);
    free(table->order);
    *table = (ash_gguf_table){ 0 };
}

const ash_gguf_kv *ash_gguf_table_find(const ash_gguf_table *t, const char *key)
{
    uint64_t low = 0, high = t->count, size = strlen(key);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const ash_gguf_kv *kv = &t->kv[t->order[middle]];
        int c = compare_keys(kv->key.text, kv->key.size, key, size);
        if (c == 0)
            return kv;
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool ash_gguf_kv_u64(const ash_gguf_kv *kv, uint64_t *out)
{
    *out = 0;
    if (!kv)
        return false;
    bool is_signed = false;
    switch (kv->type) {
    case ASH_GGUF_I8: case ASH_GGUF_I16: case ASH_GGUF_I32: case ASH_GGUF_I64:
        is_signed = true;
        break;
    case ASH_GGUF_U8: case ASH_GGUF_U16: case ASH_GGUF_U32: case ASH_GGUF_U64:
        break;
    default:
        return false;
    }
    uint64_t value = 0;
    memcpy(&value, kv->value, kv->value_size); /* little-endian: the low bytes; a negative one has its top bit set */
    if (is_signed && value >> (8 * kv->value_size - 1))
        return false;
    *out = value;
    return true;
}

bool ash_gguf_alignment_valid(uint64_t alignment)
{
    return alignment >= ASH_GGUF_MIN_ALIGN && alignment <= ASH_GGUF_MAX_ALIGN && (alignment & (alignment - 1)) == 0;
}

ash_status ash_gguf_table_alignment(const ash_gguf_table *table, uint64_t *out, ash_error *err)
{
    const ash_gguf_kv *kv = ash_gguf_table_find(table, "general.alignment");
    *out = ASH_GGUF_DEFAULT_ALIGN;
    if (!kv)
        return ASH_OK;
    if (!ash_gguf_kv_u64(kv, out))
        return ash_fail(err, ASH_E_FORMAT, "key 'general.alignment' is no unsigned integer; the file is damaged");
    if (!ash_gguf_alignment_valid(*out))
        return ash_fail(err, ASH_E_FORMAT, "key 'general.alignment' is %" PRIu64
                        "; it must be a power of two from %d to %" PRIu64 "; the file is damaged",
                        *out, ASH_GGUF_MIN_ALIGN, ASH_GGUF_MAX_ALIGN);
    return ASH_OK;
}

/* ---- the public accessors ---- */

uint64_t ash_gguf_kv_count(const ash_gguf *g) { return g->table.count; }

const ash_gguf_kv *ash_gguf_kv_at(const ash_gguf *g, uint64_t index)
{
    return index < g->table.count ? &g->table.kv[index] : NULL;
}

const ash_gguf_kv *ash_gguf_find(const ash_gguf *g, const char *key) { return ash_gguf_table_find(&g->table, key); }

bool ash_gguf_get_u64(const ash_gguf *g, const char *key, uint64_t *out)
{
    return ash_gguf_kv_u64(ash_gguf_find(g, key), out);
}

bool ash_gguf_get_f64(const ash_gguf *g, const char *key, double *out)
{
    const ash_gguf_kv *kv = ash_gguf_find(g, key);
    *out = 0;
    if (!kv || (kv->type != ASH_GGUF_F32 && kv->type != ASH_GGUF_F64))
        return false;
    if (kv->type == ASH_GGUF_F64) {
        memcpy(out, kv->value, sizeof *out);
    } else {
        float single;
        memcpy(&single, kv->value, sizeof single);
        *out = (double)single;
    }
    return true;
}

bool ash_gguf_get_bool(const ash_gguf *g, const char *key, bool *out)
{
    const ash_gguf_kv *kv = ash_gguf_find(g, key);
    *out = false;
    if (!kv || kv->type != ASH_GGUF_BOOL)
        return false;
    *out = kv->value[0] != 0;
    return true;
}

bool ash_gguf_get_string(const ash_gguf *g, const char *key, ash_gguf_string *out)
{
    const ash_gguf_kv *kv = ash_gguf_find(g, key);
    *out = (ash_gguf_string){ NULL, 0 };
    if (!kv || kv->type != ASH_GGUF_STRING)
        return false;
    *out = (ash_gguf_string){ (const char *)kv->value, kv->value_size };
    return true;
}

bool ash_gguf_next_string(const ash_gguf_kv *kv, uint64_t *at, ash_gguf_string *out)
{
    *out = (ash_gguf_string){ NULL, 0 };
    if (kv->type != ASH_GGUF_ARRAY || kv->element != ASH_GGUF_STRING || *at >= kv->value_size)
        return false;
    ash_cursor c = ash_cursor_of(kv->value, kv->value_size);
    c.at = *at;
    out->size = ash_take_u64(&c);
    out->text = (const char *)ash_take(&c, out->size);
    if (c.bad)
        return *out = (ash_gguf_string){ NULL, 0 }, false;
    *at = c.at;
    return true;
}

/* ---- the form that a GGKV section keeps ---- */

static bool is_split_key(const ash_gguf_string *key) { return key->size >= 6 && memcmp(key->text, "split.", 6) == 0; }

ash_status ash_gguf_kv_bytes(const ash_gguf *g, uint8_t **out, size_t *size, ash_error *err)
{
    *out = NULL;
    *size = 0;
    uint64_t total = sizeof(uint32_t) + sizeof(uint64_t), count = 0;
    for (uint64_t i = 0; i < g->table.count; i++) {
        if (is_split_key(&g->table.kv[i].key))
            continue;
        total += g->table.kv[i].record_size; /* parts of one buffer: cannot wrap */
        count++;
    }
    uint8_t *bytes = malloc(total), *p = bytes;
    if (!bytes)
        return ash_fail(err, ASH_E_MEMORY, "no memory for %" PRIu64 " bytes of GGUF key-values", total);
    memcpy(p, &g->version, sizeof g->version);
    p += sizeof g->version;
    memcpy(p, &count, sizeof count);
    p += sizeof count;
    for (uint64_t i = 0; i < g->table.count; i++) {
        const ash_gguf_kv *kv = &g->table.kv[i];
        if (is_split_key(&kv->key))
            continue;
        memcpy(p, kv->record, kv->record_size);
        p += kv->record_size;
    }
    *out = bytes;
    *size = total;
    return ASH_OK;
}

static ash_status parse_kv_bytes(ash_gguf_scan *s, ash_gguf *g, ash_error *err)
{
    uint64_t count;
    ASH_TRY(ash_gguf_scan_u32(s, "the version", &g->version, err));
    if (g->version < 2 || g->version > 3)
        return ash_fail(err, ASH_E_FORMAT, "GGUF version %" PRIu32 " is not 2 or 3", g->version);
    ASH_TRY(ash_gguf_scan_u64(s, "the number of pairs", &count, err));
    ASH_TRY(ash_gguf_table_parse(s, count, &g->table, err));
    if (s->c.at != s->limit)
        return ash_fail(err, ASH_E_FORMAT, "%" PRIu64 " bytes follow the last pair", s->limit - s->c.at);
    return ash_gguf_table_alignment(&g->table, &g->alignment, err);
}

ash_status ash_gguf_open_kv(const void *bytes, size_t size, ash_gguf **out, ash_error *err)
{
    *out = NULL;
    ash_gguf *g = calloc(1, sizeof *g);
    if (!g)
        return ash_fail(err, ASH_E_MEMORY, "no memory for GGUF key-values");
    ash_gguf_scan s = { ash_cursor_of(bytes, size), size, 0 };
    ash_status status = parse_kv_bytes(&s, g, err);
    if (status != ASH_OK) {
        ash_gguf_close(g);
        return ash_fail_in(err, "GGUF key-values");
    }
    *out = g;
    return ASH_OK;
}
