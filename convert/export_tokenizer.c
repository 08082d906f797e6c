/* tokenizer.json from a section. It is taken in again by the importer, and what comes back must be the section's
 * vocabulary, merges, added tokens and steps: so nothing is wrong silently. SentencePiece BPE, which decides by scores,
 * becomes BPE of characters with the merges that follow from them: there steps and merges cannot be compared. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert/byte_alphabet.h"
#include "convert/export_internal.h"
#include "convert/tokenizer_internal.h"

#define TOKEN_BYTES_MAX (1u << 20)         /* what the import takes */
#define TEXT_BYTES_MAX ((size_t)256 << 20) /* likewise, of the whole file */
#define SPLIT_BYTES_MAX 512                /* of a token that merges may give: each of its splits is looked up */
#define SPLITS_MAX ((size_t)1 << 23)       /* vocabularies of 256,000 tokens have 600,000 */

static ash_status no_memory(ash_error *err) { return ash_fail(err, ASH_E_MEMORY, "out of memory for the tokenizer"); }

static bool used(const ash_vocab *v, uint32_t id) { return id < v->header->token_count && v->tokens[id].bytes != 0; }
static bool has(const ash_vocab *v, uint32_t id, uint16_t flag) { return (v->tokens[id].flags & flag) != 0; }

/* ---- tokens ---- */

typedef struct spelling {
    const ash_vocab *v;
    ash_alphabet alphabet;
    char *text;  /* 2 * TOKEN_BYTES_MAX */
    size_t left; /* bytes of texts that may still come: tokens of a section may share theirs */
    bool too_long;
} spelling;

static bool take(spelling *s, size_t size)
{
    s->too_long |= size > s->left;
    s->left -= s->too_long ? 0 : size;
    return !s->too_long;
}

/* Puts a token as the file spells it. Its bytes are at most TOKEN_BYTES_MAX: check_sizes. */
static void put_token(spelling *s, uint32_t id, FILE *f)
{
    const ash_vocab *v = s->v;
    size_t size;
    const uint8_t *bytes = ash_vocab_bytes(v, id, &size);
    if (!take(s, size))
        return;
    if (v->header->model == ASH_VOCAB_BYTE_BPE && has(v, id, ASH_TOKEN_MODEL))
        ash_json_put_string(f, s->text, ash_alphabet_encode(&s->alphabet, bytes, size, s->text));
    else if (v->header->model != ASH_VOCAB_BYTE_BPE && v->tokens[id].type == ASH_TOKEN_BYTE && size == 1)
        fprintf(f, "\"<0x%02X>\"", bytes[0]);
    else
        ash_json_put_string(f, (const char *)bytes, size);
}

static ash_status check_sizes(const ash_vocab *v, ash_error *err)
{
    for (uint32_t id = 0; id < v->header->token_count; id++) {
        size_t size;
        (void)ash_vocab_bytes(v, id, &size);
        if (size > TOKEN_BYTES_MAX)
            return ash_fail(err, ASH_E_LIMIT, "token %" PRIu32 " has %zu bytes, at most 1 MiB are exported", id, size);
    }
    return ASH_OK;
}

/* The library counts added tokens that the vocabulary lacks from its size on. So added tokens behind all others,
 * without a gap before or among them, stay out of the vocabulary, as usual files have it; else all are in it. Returns
 * the first id that stays out. */
static uint32_t vocabulary_end(const ash_vocab *v)
{
    uint32_t count = v->header->token_count, end = count;
    while (end > 0 && used(v, end - 1) && has(v, end - 1, ASH_TOKEN_ADDED) && !has(v, end - 1, ASH_TOKEN_MODEL))
        end--;
    for (uint32_t id = 0; id < end; id++)
        if (!used(v, id))
            return count;
    return end;
}

static void put_vocabulary(spelling *s, FILE *f)
{
    const ash_vocab *v = s->v;
    bool pieces = v->header->model == ASH_VOCAB_UNIGRAM, first = true;
    uint32_t end = vocabulary_end(v);
    fprintf(f, "\"vocab\":%c", pieces ? '[' : '{');
    for (uint32_t id = 0; id < end && !s->too_long; id++) {
        if (!used(v, id))
            continue;
        fprintf(f, "%s%s", first ? "" : ",\n", pieces ? "[" : "");
        put_token(s, id, f);
        if (pieces)
            fprintf(f, ",%.17g]", v->scores[id]);
        else
            fprintf(f, ":%" PRIu32, id);
        first = false;
    }
    fprintf(f, "%c", pieces ? ']' : '}');
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = ((const ash_vocab_added *)a)->id, y = ((const ash_vocab_added *)b)->id;
    return (x > y) - (x < y);
}

static ash_status put_added(spelling *s, FILE *f, ash_error *err)
{
    static const struct { const char *key; uint32_t flag; } keys[] = {
        { "single_word", ASH_ADDED_SINGLE_WORD }, { "lstrip", ASH_ADDED_LSTRIP }, { "rstrip", ASH_ADDED_RSTRIP },
        { "normalized", ASH_ADDED_NORMALIZED },   { "special", ASH_ADDED_SPECIAL },
    };
    const ash_vocab *v = s->v;
    uint32_t count = v->header->added_count;
    ash_vocab_added *list = malloc(((size_t)count + 1) * sizeof *list);
    if (!list)
        return no_memory(err);
    memcpy(list, v->added, count * sizeof *list);
    qsort(list, count, sizeof *list, by_id);
    fprintf(f, "\"added_tokens\":[");
    for (uint32_t i = 0; i < count && take(s, list[i].bytes); i++) {
        fprintf(f, "%s{\"id\":%" PRIu32 ",\"content\":", i ? ",\n" : "", list[i].id);
        ash_json_put_string(f, (const char *)v->pool + list[i].offset, list[i].bytes);
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            fprintf(f, ",\"%s\":%s", keys[k].key, list[i].flags & keys[k].flag ? "true" : "false");
        fputc('}', f);
    }
    fprintf(f, "],\n");
    free(list);
    return ASH_OK;
}

/* ---- merges ---- */

typedef struct scored_merge {
    ash_vocab_merge merge;
    float score;
    uint32_t size, left_size; /* bytes of the result and of its left half */
} scored_merge;

/* The highest score first; of equal ones the longest result, and of one token the longest left half. */
static int by_score(const void *a, const void *b)
{
    const scored_merge *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    if (x->merge.result != y->merge.result)
        return x->merge.result < y->merge.result ? -1 : 1;
    return (x->left_size < y->left_size) - (x->left_size > y->left_size);
}

typedef struct scored_list {
    scored_merge *items;
    size_t count, room;
} scored_list;

static ash_status add_splits(const ash_vocab *v, uint32_t id, scored_list *list, ash_error *err)
{
    size_t size;
    const uint8_t *bytes = ash_vocab_bytes(v, id, &size);
    if (size > SPLIT_BYTES_MAX)
        return ash_fail(err, ASH_E_UNSUPPORTED, "token %" PRIu32 " has %zu bytes, merges for at most %d are made", id,
                        size, SPLIT_BYTES_MAX);
    if (!isfinite(v->tokens[id].score))
        return ash_fail(err, ASH_E_FORMAT, "the score of token %" PRIu32 " is no number", id);
    uint32_t left, right;
    size_t next = 1;
    for (size_t at; (at = ash_export_split(v, bytes, size, &next, &left, &right)) != 0;) {
        if (list->count == SPLITS_MAX)
            return ash_fail(err, ASH_E_LIMIT, "more than %zu merges are not exported", SPLITS_MAX);
        if (list->count == list->room) {
            size_t room = list->room ? 2 * list->room : 1u << 14;
            void *more = realloc(list->items, room * sizeof *list->items);
            if (!more)
                return no_memory(err);
            list->items = more;
            list->room = room;
        }
        list->items[list->count++] = (scored_merge){
            { left, right, 0, id }, v->tokens[id].score, (uint32_t)size, (uint32_t)at
        };
    }
    return ASH_OK;
}

/* How often a token repeats its first character, 0 where it has others. */
static size_t run_of(const ash_vocab *v, uint32_t id)
{
    size_t size;
    const uint8_t *bytes = ash_vocab_bytes(v, id, &size);
    size_t unit = ash_vocab_char_bytes(bytes, size);
    for (size_t at = unit; unit && at < size; at += unit)
        if (size - at < unit || memcmp(bytes, bytes + at, unit) != 0)
            return 0;
    return unit ? size / unit : 0;
}

/* Of pairs with equal scores SentencePiece takes the leftmost, merges take that of the lowest rank. Where the tokens in
 * question are runs of one character, of all lengths from 2 on, it is the same: both make a run longer from the left
 * until no token is as long, since the longest result comes first. */
static ash_status check_tie(const ash_vocab *v, const scored_merge *items, size_t count, ash_error *err)
{
    for (size_t i = 1; i < count; i++) {
        uint32_t before = items[i - 1].merge.result, id = items[i].merge.result;
        if (id == before)
            continue;
        size_t n = run_of(v, before), m = run_of(v, id), size, other;
        const uint8_t *longer = ash_vocab_bytes(v, before, &size), *text = ash_vocab_bytes(v, id, &other);
        bool last = items[count - 1].merge.result == id;
        if (n == 0 || m + 1 != n || memcmp(longer, text, other) != 0 || (last && m != 2))
            return ash_fail(err, ASH_E_UNSUPPORTED, "tokens %" PRIu32 " and %" PRIu32 " have the same score, which no "
                            "order of merges can say", before, id);
    }
    return ASH_OK;
}

/* Every two tokens that form a token merge, by its score. */
static ash_status make_merges(const ash_vocab *v, ash_vocab_merge **out, uint32_t *count, ash_error *err)
{
    scored_list list = { 0 };
    ash_status status = ASH_OK;
    *out = NULL;
    *count = 0;
    for (uint32_t id = 0; id < v->header->token_count && status == ASH_OK; id++)
        if (used(v, id) && has(v, id, ASH_TOKEN_MODEL))
            status = add_splits(v, id, &list, err);
    if (list.count)
        qsort(list.items, list.count, sizeof *list.items, by_score);
    for (size_t i = 0, end; i < list.count && status == ASH_OK; i = end) {
        for (end = i + 1; end < list.count && list.items[end].score == list.items[i].score;)
            end++;
        status = check_tie(v, list.items + i, end - i, err);
    }
    if (status == ASH_OK && !(*out = malloc((list.count + 1) * sizeof **out)))
        status = no_memory(err);
    for (size_t i = 0; i < list.count && status == ASH_OK; i++)
        (*out)[i] = list.items[i].merge;
    *count = status == ASH_OK ? (uint32_t)list.count : 0;
    free(list.items);
    return status;
}

static ash_status put_merges(spelling *s, FILE *f, ash_error *err)
{
    const ash_vocab *v = s->v;
    ash_vocab_merge *merges;
    uint32_t count;
    ASH_TRY(v->header->model == ASH_VOCAB_SPM_BPE ? make_merges(v, &merges, &count, err)
                                                  : ash_export_merges(v, v->header->token_count, &merges, &count, err));
    fprintf(f, ",\n\"merges\":[");
    for (uint32_t i = 0; i < count && !s->too_long; i++) {
        fprintf(f, "%s[", i ? ",\n" : "");
        put_token(s, merges[i].left, f);
        fputc(',', f);
        put_token(s, merges[i].right, f);
        fputc(']', f);
    }
    fputc(']', f);
    free(merges);
    return ASH_OK;
}

/* ---- the rest of the file ---- */

static bool adds_bos(const ash_vocab *v) { return (v->header->flags & ASH_VOCAB_ADD_BOS) && v->header->bos >= 0; }
static bool adds_eos(const ash_vocab *v) { return (v->header->flags & ASH_VOCAB_ADD_EOS) && v->header->eos >= 0; }

static void put_special(spelling *s, int32_t id, int type, FILE *f)
{
    fprintf(f, "{\"SpecialToken\":{\"id\":");
    put_token(s, (uint32_t)id, f);
    fprintf(f, ",\"type_id\":%d}}", type);
}

/* bos, the text, eos. */
static void put_framed(spelling *s, const char *name, int type, FILE *f)
{
    if (adds_bos(s->v)) {
        put_special(s, s->v->header->bos, type, f);
        fputc(',', f);
    }
    fprintf(f, "{\"Sequence\":{\"id\":\"%s\",\"type_id\":%d}}", name, type);
    if (adds_eos(s->v)) {
        fputc(',', f);
        put_special(s, s->v->header->eos, type, f);
    }
}

static void put_ids(spelling *s, int32_t id, FILE *f)
{
    put_token(s, (uint32_t)id, f);
    fprintf(f, ":{\"id\":");
    put_token(s, (uint32_t)id, f);
    fprintf(f, ",\"ids\":[%" PRId32 "],\"tokens\":[", id);
    put_token(s, (uint32_t)id, f);
    fprintf(f, "]}");
}

static void put_post_processor(spelling *s, FILE *f)
{
    bool bos = adds_bos(s->v), eos = adds_eos(s->v) && !(bos && s->v->header->eos == s->v->header->bos);
    fprintf(f, "\"post_processor\":");
    if (!bos && !eos) {
        fprintf(f, "null,\n");
        return;
    }
    fprintf(f, "{\"type\":\"TemplateProcessing\",\"single\":[");
    put_framed(s, "A", 0, f);
    fprintf(f, "],\"pair\":[");
    put_framed(s, "A", 0, f);
    fputc(',', f);
    put_framed(s, "B", 1, f);
    fprintf(f, "],\"special_tokens\":{");
    if (bos)
        put_ids(s, s->v->header->bos, f);
    fprintf(f, "%s", bos && eos ? "," : "");
    if (eos)
        put_ids(s, s->v->header->eos, f);
    fprintf(f, "}},\n");
}

static ash_status put_model(spelling *s, FILE *f, ash_error *err)
{
    const ash_vocab_header *h = s->v->header;
    const char *fallback = h->flags & ASH_VOCAB_BYTE_FALLBACK ? "true" : "false";
    if (h->model == ASH_VOCAB_UNIGRAM) {
        fprintf(f, "\"model\":{\"type\":\"Unigram\",\"unk_id\":");
        fprintf(f, h->unk >= 0 ? "%" PRId32 : "null", h->unk);
        fprintf(f, ",\"byte_fallback\":%s,", fallback);
        put_vocabulary(s, f);
        fputc('}', f);
        return ASH_OK;
    }
    fprintf(f, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (h->unk >= 0)
        put_token(s, (uint32_t)h->unk, f);
    else
        fprintf(f, "null");
    fprintf(f, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":%s,\"byte_fallback\":%s,"
               "\"ignore_merges\":%s,\n", h->flags & ASH_VOCAB_FUSE_UNK ? "true" : "false", fallback,
            h->flags & ASH_VOCAB_IGNORE_MERGES ? "true" : "false");
    put_vocabulary(s, f);
    ASH_TRY(put_merges(s, f, err));
    fputc('}', f);
    return ASH_OK;
}

static ash_status put_file(spelling *s, FILE *f, ash_error *err)
{
    fprintf(f, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    ASH_TRY(put_added(s, f, err));
    ASH_TRY(ash_export_steps(s->v, f, err));
    put_post_processor(s, f);
    ASH_TRY(put_model(s, f, err));
    fprintf(f, "}\n");
    return s->too_long ? ash_fail(err, ASH_E_LIMIT, "the texts of a tokenizer.json would have more than %zu bytes",
                                  TEXT_BYTES_MAX)
                       : ASH_OK;
}

/* ---- what a tokenizer.json cannot say ---- */

static ash_status refuse(const char *what, ash_error *err)
{
    return ash_fail(err, ASH_E_UNSUPPORTED, "the tokenizer %s, which a tokenizer.json cannot say", what);
}

static ash_status check_sayable(const ash_vocab *v, ash_error *err)
{
    const ash_vocab_header *h = v->header;
    bool bytes = true, spm = h->model == ASH_VOCAB_SPM_BPE;
    for (int i = 0; i < 256; i++)
        bytes &= h->byte_ids[i] >= 0;
    if (!bytes && spm && (h->flags & ASH_VOCAB_BYTE_FALLBACK))
        return refuse("has no token for some bytes", err);
    if (h->flags & ASH_VOCAB_FLOAT_SUMS)
        return refuse("adds up its scores in single precision", err);
    for (uint32_t i = 0; i < h->added_count; i++)
        if (v->added[i].flags & ASH_ADDED_SYMBOL)
            return refuse("has user-defined symbols of SentencePiece", err);
    for (uint32_t id = 0; id < h->token_count && spm; id++)
        if (used(v, id) && has(v, id, ASH_TOKEN_MODEL) && v->tokens[id].type == ASH_TOKEN_UNUSED)
            return refuse("has tokens that are taken apart again", err);
    return ASH_OK;
}

/* ---- reading it back ---- */

static bool same_bytes(const ash_vocab *a, const ash_vocab *b, uint32_t id)
{
    size_t size, other;
    const uint8_t *x = ash_vocab_bytes(a, id, &size), *y = ash_vocab_bytes(b, id, &other);
    return size == other && memcmp(x, y, size) == 0;
}

/* The text of an added token never reaches the model, whether or not its vocabulary has it. */
static bool same_token(const ash_vocab *a, const ash_vocab *b, uint32_t id, bool spm)
{
    const ash_vocab_token *x = &a->tokens[id], *y = &b->tokens[id];
    uint16_t different = x->flags ^ y->flags;
    if ((x->flags & y->flags & ASH_TOKEN_ADDED) || spm)
        different &= (uint16_t)~(ASH_TOKEN_MODEL | ASH_TOKEN_WHOLE);
    return different == 0 && same_bytes(a, b, id) && (x->type == ASH_TOKEN_BYTE) == (y->type == ASH_TOKEN_BYTE) &&
           (a->header->model != ASH_VOCAB_UNIGRAM || !(x->flags & ASH_TOKEN_MODEL) || a->scores[id] == b->scores[id]);
}

static bool same_added(const ash_vocab *a, const ash_vocab *b)
{
    if (a->header->added_count != b->header->added_count)
        return false;
    for (uint32_t i = 0; i < a->header->added_count; i++) {
        const ash_vocab_added *x = &a->added[i], *y = &b->added[i];
        if (x->id != y->id || x->flags != y->flags || x->bytes != y->bytes ||
            memcmp(a->pool + x->offset, b->pool + y->offset, x->bytes) != 0)
            return false;
    }
    return true;
}

static bool same_steps(const ash_vocab *a, const ash_vocab *b)
{
    if (a->header->step_count != b->header->step_count)
        return false;
    for (uint32_t i = 0; i < a->header->step_count; i++) {
        const ash_vocab_step *x = &a->steps[i], *y = &b->steps[i];
        if (x->kind != y->kind || x->behaviour != y->behaviour || x->flags != y->flags ||
            x->text_bytes != y->text_bytes || x->second_bytes != y->second_bytes || x->numbers[0] != y->numbers[0] ||
            x->numbers[1] != y->numbers[1] ||
            memcmp(a->pool + x->text_offset, b->pool + y->text_offset, x->text_bytes) != 0 ||
            memcmp(a->pool + x->second_offset, b->pool + y->second_offset, x->second_bytes) != 0)
            return false;
    }
    return true;
}

static ash_status same_merges(const ash_vocab *a, const ash_vocab *b, bool *same, ash_error *err)
{
    ash_vocab_merge *x = NULL, *y = NULL;
    uint32_t count = 0, other = 0;
    ash_status status = ash_export_merges(a, a->header->token_count, &x, &count, err);
    if (status == ASH_OK)
        status = ash_export_merges(b, b->header->token_count, &y, &other, err);
    *same = status == ASH_OK && count == other;
    for (uint32_t i = 0; i < count && *same; i++)
        *same = x[i].left == y[i].left && x[i].right == y[i].right && x[i].result == y[i].result;
    free(x);
    free(y);
    return status;
}

/* ADD_BOS without a bos does nothing, nor does GAPS_BLOCK where no byte lacks a token; where one does, it is a note. */
static bool same_header(const ash_vocab *a, const ash_vocab *b)
{
    const ash_vocab_header *x = a->header, *y = b->header;
    static const uint32_t loose = ASH_VOCAB_GAPS_BLOCK | ASH_VOCAB_ADD_BOS | ASH_VOCAB_ADD_EOS;
    return x->model == y->model && ((x->flags ^ y->flags) & ~loose) == 0 && x->unk_score == y->unk_score;
}

static ash_status differs(const char *what, ash_error *err)
{
    return ash_fail(err, ASH_E_UNSUPPORTED, "a tokenizer.json of it would have other %s", what);
}

static ash_status compare(const ash_vocab *a, const ash_vocab *b, ash_error *err)
{
    const ash_vocab_header *x = a->header, *y = b->header;
    bool spm = x->model == ASH_VOCAB_SPM_BPE, merges = true;
    if (x->bos != y->bos || x->eos != y->eos || x->pad != y->pad || x->unk != y->unk || adds_bos(a) != adds_bos(b) ||
        adds_eos(a) != adds_eos(b))
        return differs("special tokens", err);
    if (!spm && !same_header(a, b))
        return differs("flags", err);
    uint32_t most = x->token_count > y->token_count ? x->token_count : y->token_count;
    for (uint32_t id = 0; id < most; id++)
        if (used(a, id) != used(b, id) || (used(a, id) && !same_token(a, b, id, spm)))
            return ash_fail(err, ASH_E_UNSUPPORTED, "a tokenizer.json of it would have another token %" PRIu32, id);
    if (memcmp(x->byte_ids, y->byte_ids, sizeof x->byte_ids) != 0)
        return differs("tokens of bytes", err);
    if (!same_added(a, b))
        return differs("added tokens", err);
    if (spm)
        return ASH_OK;
    if (!same_steps(a, b))
        return differs("steps", err);
    ASH_TRY(same_merges(a, b, &merges, err));
    return merges ? ASH_OK : differs("merges", err);
}

bool ash_export_token_names(const ash_vocab *v, cJSON *config)
{
    const struct { const char *key; int32_t id; } ids[] = {
        { "bos_token", v->header->bos }, { "eos_token", v->header->eos },
        { "pad_token", v->header->pad }, { "unk_token", v->header->unk },
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof ids / sizeof *ids && ok; i++) {
        size_t size = 0;
        const uint8_t *bytes = ids[i].id < 0 ? NULL : ash_vocab_bytes(v, (uint32_t)ids[i].id, &size);
        char *text = size ? strndup((const char *)bytes, size) : NULL;
        ok = size == 0 || (text && cJSON_AddStringToObject(config, ids[i].key, text));
        free(text);
    }
    return ok;
}

static ash_status read_back(const ash_vocab *v, const char *text, size_t size, ash_error *err)
{
    cJSON *root = NULL, *config = cJSON_CreateObject();
    ash_vocab_import back = { 0 };
    ash_vocab other;
    ash_status status = config && ash_export_token_names(v, config)
                            ? ash_json_parse(text, size, TEXT_BYTES_MAX, &root, err) : no_memory(err);
    if (status == ASH_OK)
        status = ash_import_tokenizer_json(root, config, &back, err);
    cJSON_Delete(root);
    cJSON_Delete(config);
    if (status == ASH_OK)
        status = ash_vocab_open(back.section, back.size, &other, err);
    if (status != ASH_OK && status != ASH_E_MEMORY) { /* what cannot be read cannot be said */
        err->status = status = ASH_E_UNSUPPORTED;
        ash_fail_in(err, "a tokenizer.json of it");
    }
    if (status == ASH_OK)
        status = compare(v, &other, err);
    free(back.section);
    return status;
}

/* What a tokenizer.json does otherwise, or NULL. */
static const char *loss(const ash_vocab *v)
{
    const ash_vocab_header *h = v->header;
    if (h->model == ASH_VOCAB_SPM_BPE)
        return "tokenizer.json has merges made from SentencePiece's scores, as transformers makes them: texts that "
               "repeat a few characters may come out as other ids";
    /* Bytes that no valid UTF-8 has need no token. */
    for (int i = 0; i < 256 && (h->flags & ASH_VOCAB_GAPS_BLOCK); i++)
        if (h->byte_ids[i] < 0 && i != 0xc0 && i != 0xc1 && i < 0xf5)
            return "some bytes have no token: between them the tokens library merges what llama.cpp keeps apart";
    return NULL;
}

ash_status ash_export_tokenizer(const ash_vocab *v, char **out, size_t *size, const char **note, ash_error *err)
{
    *out = NULL;
    *size = 0;
    *note = NULL;
    ASH_TRY(check_sizes(v, err));
    ASH_TRY(check_sayable(v, err));
    spelling s = { .v = v, .text = malloc(2 * TOKEN_BYTES_MAX), .left = TEXT_BYTES_MAX };
    ash_alphabet_make(&s.alphabet);
    FILE *f = s.text ? open_memstream(out, size) : NULL;
    ash_status status = f ? put_file(&s, f, err) : no_memory(err);
    bool written = f && !ferror(f);
    if (f && fclose(f) != 0)
        written = false;
    free(s.text);
    if (status == ASH_OK && !written)
        status = no_memory(err);
    if (status == ASH_OK)
        status = read_back(v, *out, *size, err);
    if (status != ASH_OK) {
        free(*out);
        *out = NULL;
        *size = 0;
    }
    else
        *note = loss(v);
    return status;
}
