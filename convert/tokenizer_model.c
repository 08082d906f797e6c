/* Tokenizer import from SentencePiece's tokenizer.model: a protobuf with the pieces, how it was trained and how it
 * normalizes. Of the two messages inside only what changes ids or text is read; what is not executed is refused by
 * name.
 *
 * Hostile bytes: every length is checked against what is left of its message, messages nest no deeper than the format's
 * two levels, groups are refused, and pieces are counted before anything is allocated. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/fileio.h"
#include "format/json.h"

#define MODEL_MAX ((size_t)64 << 20)
#define JSON_MAX ((size_t)64 << 20)

/* ---- protobuf ---- */

typedef struct message { const uint8_t *at, *end; } message;

typedef struct field {
    uint32_t number, wire; /* wire: 0 varint, 1 fixed64, 2 bytes, 5 fixed32 */
    uint64_t value;        /* of a varint or a fixed number */
    message bytes;
} field;

static bool varint(message *m, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        uint8_t b = *m->at++;
        *out |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return true;
    }
    return false;
}

static bool fixed(message *m, unsigned size, uint64_t *out)
{
    if ((size_t)(m->end - m->at) < size)
        return false;
    *out = 0;
    for (unsigned i = 0; i < size; i++)
        *out |= (uint64_t)m->at[i] << 8 * i;
    m->at += size;
    return true;
}

/* The next field; *out has number 0 at the end. */
static ash_status next_field(message *m, field *out, ash_error *err)
{
    uint64_t tag, size;
    *out = (field){ 0 };
    if (m->at == m->end)
        return ASH_OK;
    bool good = varint(m, &tag) && tag >> 3 != 0 && tag >> 3 <= UINT32_MAX;
    if (good) {
        out->number = (uint32_t)(tag >> 3);
        out->wire = tag & 7;
        switch (out->wire) {
        case 0: good = varint(m, &out->value); break;
        case 1: good = fixed(m, 8, &out->value); break;
        case 5: good = fixed(m, 4, &out->value); break;
        case 2:
            good = varint(m, &size) && size <= (uint64_t)(m->end - m->at);
            if (good) {
                out->bytes = (message){ m->at, m->at + size };
                m->at += size;
            }
            break;
        default: good = false;
        }
    }
    return good ? ASH_OK
                : ash_fail(err, ASH_E_FORMAT, "is no SentencePiece model: a field is cut off or has no length");
}

static size_t length(message m) { return (size_t)(m.end - m.at); }

static float float_of(uint64_t value)
{
    uint32_t bits = (uint32_t)value;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* ---- the model ---- */

typedef struct spec {
    message pieces; /* the whole file */
    uint64_t piece_count;
    bool unigram, byte_fallback, suffix;
    int64_t unk, bos, eos, pad;
    message charsmap;
    bool dummy, trim, escape;
} spec;

/* The messages' fields by number, as sentencepiece_model.proto has them. */
enum { MODEL_PIECE = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3, MODEL_DENORMALIZER = 5 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum {
    TRAINER_TYPE = 3, TRAINER_SUFFIX = 24, TRAINER_FALLBACK = 35, TRAINER_UNK = 40, TRAINER_BOS = 41, TRAINER_EOS = 42,
    TRAINER_PAD = 43, TRAINER_UNK_SURFACE = 44,
};
enum { NORMALIZER_MAP = 2, NORMALIZER_DUMMY = 3, NORMALIZER_TRIM = 4, NORMALIZER_ESCAPE = 5 };

static ash_status read_trainer(spec *s, message m, ash_error *err)
{
    static const char surface[] = " \xe2\x81\x87 ";
    static const char *const types[] = { "?", "unigram", "bpe", "word", "char" };
    field f;
    for (;;) {
        ASH_TRY(next_field(&m, &f, err));
        switch (f.number) {
        case 0: return ASH_OK;
        case TRAINER_TYPE:
            if (f.wire != 0 || f.value < 1 || f.value > 2)
                return ash_fail(err, ASH_E_UNSUPPORTED,
                                "trainer_spec.model_type \"%s\" is not supported; read are unigram and bpe",
                                types[f.wire == 0 && f.value <= 4 ? f.value : 0]);
            s->unigram = f.value == 1;
            break;
        case TRAINER_SUFFIX: s->suffix = f.value != 0; break;
        case TRAINER_FALLBACK: s->byte_fallback = f.value != 0; break;
        case TRAINER_UNK: s->unk = (int32_t)f.value; break;
        case TRAINER_BOS: s->bos = (int32_t)f.value; break;
        case TRAINER_EOS: s->eos = (int32_t)f.value; break;
        case TRAINER_PAD: s->pad = (int32_t)f.value; break;
        case TRAINER_UNK_SURFACE:
            if (f.wire != 2 || length(f.bytes) != strlen(surface) ||
                memcmp(f.bytes.at, surface, strlen(surface)) != 0)
                return ash_fail(err, ASH_E_UNSUPPORTED, "trainer_spec.unk_surface is not the usual one (U+2047)");
            break;
        default: break;
        }
    }
}

static ash_status read_normalizer(spec *s, message m, ash_error *err)
{
    field f;
    for (;;) {
        ASH_TRY(next_field(&m, &f, err));
        switch (f.number) {
        case 0: return ASH_OK;
        case NORMALIZER_MAP: s->charsmap = f.bytes; break;
        case NORMALIZER_DUMMY: s->dummy = f.value != 0; break;
        case NORMALIZER_TRIM: s->trim = f.value != 0; break;
        case NORMALIZER_ESCAPE: s->escape = f.value != 0; break;
        default: break;
        }
    }
}

static ash_status read_denormalizer(message m, ash_error *err)
{
    field f;
    do {
        ASH_TRY(next_field(&m, &f, err));
        if (f.number == NORMALIZER_MAP && length(f.bytes) != 0)
            return ash_fail(err, ASH_E_UNSUPPORTED, "denormalizer_spec has a map, which this version does not execute");
    } while (f.number != 0);
    return ASH_OK;
}

static ash_status read_spec(spec *s, message m, ash_error *err)
{
    *s = (spec){ .pieces = m, .unigram = true, .unk = 0, .bos = 1, .eos = 2, .pad = -1,
                 .dummy = true, .trim = true, .escape = true };
    field f;
    do {
        ASH_TRY(next_field(&m, &f, err));
        if (f.number != 0 && f.number <= MODEL_DENORMALIZER && f.wire != 2)
            return ash_fail(err, ASH_E_FORMAT, "is no SentencePiece model: field %u is no message", f.number);
        if (f.number == MODEL_PIECE)
            s->piece_count++;
        else if (f.number == MODEL_TRAINER)
            ASH_TRY(read_trainer(s, f.bytes, err));
        else if (f.number == MODEL_NORMALIZER)
            ASH_TRY(read_normalizer(s, f.bytes, err));
        else if (f.number == MODEL_DENORMALIZER)
            ASH_TRY(read_denormalizer(f.bytes, err));
    } while (f.number != 0);
    return s->piece_count != 0 ? ASH_OK : ash_fail(err, ASH_E_FORMAT, "is no SentencePiece model: it has no pieces");
}

/* ---- pieces ---- */

static ash_status read_piece(ash_draft *d, uint32_t id, message m, ash_error *err)
{
    ash_draft_token token = { .type = ASH_TOKEN_NORMAL };
    field f;
    do {
        ASH_TRY(next_field(&m, &f, err));
        if (f.number == PIECE_TEXT) {
            if (f.wire != 2 || length(f.bytes) > ASH_DRAFT_TOKEN_MAX)
                return ash_fail(err, ASH_E_LIMIT, "piece %u is no text of at most 1 MiB", id);
            token.text = (const char *)f.bytes.at;
            token.size = (uint32_t)length(f.bytes);
        } else if (f.number == PIECE_SCORE) {
            token.score = (double)float_of(f.value);
        } else if (f.number == PIECE_TYPE) {
            token.type = f.value <= ASH_TOKEN_BYTE ? (uint16_t)f.value : 0;
        }
    } while (f.number != 0);
    if (token.size == 0 || !isfinite(token.score) || token.type == 0)
        return ash_fail(err, ASH_E_FORMAT, "piece %u has no text, no finite score, or an unknown type", id);
    if (token.type == ASH_TOKEN_BYTE && ash_draft_byte(token.text, token.size) < 0)
        return ash_fail(err, ASH_E_FORMAT, "piece %u, \"%.*s\", is of type byte and spells none", id,
                        token.size < 60 ? (int)token.size : 60, token.text);
    token.model = token.type != ASH_TOKEN_CONTROL && token.type != ASH_TOKEN_UNKNOWN;
    return ash_draft_token_add(d, id, token, false, err);
}

static ash_status read_pieces(ash_draft *d, const spec *s, ash_error *err)
{
    message m = s->pieces;
    uint32_t id = 0;
    field f;
    do {
        ASH_TRY(next_field(&m, &f, err));
        if (f.number == MODEL_PIECE)
            ASH_TRY(read_piece(d, id++, f.bytes, err));
    } while (f.number != 0);
    return ASH_OK;
}

/* A user-defined symbol's score in a unigram model: above zero, where all others are below. */
static void score_symbols(ash_draft *d, uint32_t pieces)
{
    for (uint32_t i = 0; i < pieces; i++)
        if (d->tokens[i].type == ASH_TOKEN_USER)
            d->tokens[i].score = (double)(float)(0.1 * (double)(d->tokens[i].size - 1));
}

/* What the list of added tokens does not name: control symbols and unk are found where they are asked for, user-defined
 * symbols in any text, without cutting it. */
static ash_status add_symbols(ash_draft *d, uint32_t pieces, ash_error *err)
{
    for (uint32_t i = 0; i < pieces; i++) {
        uint16_t type = d->tokens[i].type;
        if (d->tokens[i].added)
            continue;
        if (type == ASH_TOKEN_CONTROL || type == ASH_TOKEN_UNKNOWN)
            ASH_TRY(ash_draft_added(d, i, ASH_ADDED_SPECIAL, err));
        else if (type == ASH_TOKEN_USER)
            ASH_TRY(ash_draft_added(d, i, ASH_ADDED_SYMBOL, err));
    }
    return ASH_OK;
}

/* ---- what lies beside the model ---- */

static bool is_special(const cJSON *special, const char *text)
{
    for (const cJSON *i = special ? special->child : NULL; i; i = i->next) {
        const char *one = cJSON_IsString(i) ? i->valuestring : ash_json_string(i, "content");
        if (one && strcmp(one, text) == 0)
            return true;
        if (cJSON_IsArray(i) && is_special(i, text))
            return true;
    }
    return false;
}

static ash_status added_id(const cJSON *item, uint32_t *out, ash_error *err)
{
    uint64_t id = 0;
    *out = 0;
    if (!ash_json_u64(item, &id) || id >= ASH_VOCAB_TOKENS_MAX)
        return ash_fail(err, ASH_E_FORMAT, "added_tokens.json: \"%.60s\" has no id from 0 to %u", item->string,
                        ASH_VOCAB_TOKENS_MAX - 1);
    *out = (uint32_t)id;
    return ASH_OK;
}

/* added_tokens.json: { "text": id }. */
static ash_status count_added(const cJSON *added, uint64_t *count, uint64_t *added_count, ash_error *err)
{
    uint32_t id = 0;
    for (const cJSON *i = cJSON_IsObject(added) ? added->child : NULL; i; i = i->next, ++*added_count) {
        ASH_TRY(added_id(i, &id, err));
        *count = id >= *count ? (uint64_t)id + 1 : *count;
    }
    return ASH_OK;
}

static ash_status read_added(ash_draft *d, const cJSON *added, const cJSON *special, ash_error *err)
{
    for (const cJSON *i = cJSON_IsObject(added) ? added->child : NULL; i; i = i->next) {
        uint32_t id = 0;
        ASH_TRY(added_id(i, &id, err));
        size_t size = strlen(i->string);
        if (size == 0 || size > ASH_DRAFT_TOKEN_MAX)
            return ash_fail(err, ASH_E_FORMAT, "added_tokens.json: token %u has %zu bytes; allowed are 1 to 1 MiB", id,
                            size);
        int32_t known = ash_draft_find(d, i->string, size);
        if (known >= 0 && d->tokens[known].added)
            continue;
        bool hidden = is_special(special, i->string);
        uint16_t type = hidden ? ASH_TOKEN_CONTROL : ASH_TOKEN_USER;
        if (known < 0)
            ASH_TRY(ash_draft_token_add(
                d, id, (ash_draft_token) { .text = i->string, .size = (uint32_t)size, .type = type }, false, err));
        ASH_TRY(ash_draft_added(d, known < 0 ? id : (uint32_t)known, hidden ? ASH_ADDED_SPECIAL : 0, err));
    }
    return ASH_OK;
}

/* ---- together ---- */

/* An id that names a control piece of the model, else -1. */
static int32_t piece_id(const ash_draft *d, const spec *s, int64_t id)
{
    return id >= 0 && (uint64_t)id < s->piece_count && d->tokens[id].type == ASH_TOKEN_CONTROL ? (int32_t)id : -1;
}

static ash_status unk_id(ash_draft *d, const spec *s, ash_error *err)
{
    for (uint32_t i = 0; i < s->piece_count; i++) {
        if (d->tokens[i].type != ASH_TOKEN_UNKNOWN)
            continue;
        if (d->unk >= 0)
            return ash_fail(err, ASH_E_FORMAT, "pieces %d and %u are both of type unknown", d->unk, i);
        d->unk = (int32_t)i;
    }
    return d->unk >= 0 ? ASH_OK : ash_fail(err, ASH_E_FORMAT, "no piece is of type unknown");
}

static ash_status fill(ash_draft *d, const spec *s, const cJSON *config, const cJSON *added, const cJSON *special,
                       ash_error *err)
{
    ASH_TRY(read_pieces(d, s, err));
    ASH_TRY(unk_id(d, s, err));
    d->flags |= ASH_VOCAB_FUSE_UNK | (s->byte_fallback ? ASH_VOCAB_BYTE_FALLBACK : 0);
    if (s->unigram) {
        d->flags |= ASH_VOCAB_FLOAT_SUMS | ASH_VOCAB_ADD_EOS;
        ash_draft_unk_score(d, false);
        d->unk_score = (double)(float)d->unk_score;
        score_symbols(d, (uint32_t)s->piece_count);
    }
    d->bos = piece_id(d, s, s->bos);
    d->eos = piece_id(d, s, s->eos);
    d->pad = piece_id(d, s, s->pad);
    if (!s->unigram && d->bos >= 0) /* as Llama has it; the configuration may say otherwise */
        d->flags |= ASH_VOCAB_ADD_BOS;
    /* Normalization happens inside SentencePiece, behind the search for added tokens. */
    uint32_t keep = ASH_ADDED_SPECIAL | ASH_ADDED_LSTRIP | ASH_ADDED_RSTRIP | ASH_ADDED_SINGLE_WORD;
    ASH_TRY(ash_config_added(d, config, keep, err));
    ASH_TRY(read_added(d, added, special, err));
    ASH_TRY(add_symbols(d, (uint32_t)s->piece_count, err));
    d->bos = ash_config_id(d, special, "bos_token", d->bos);
    d->eos = ash_config_id(d, special, "eos_token", d->eos);
    d->pad = ash_config_id(d, special, "pad_token", d->pad);
    ash_config_named(d, config);
    uint32_t space = (s->trim ? ASH_STEP_TRIM : 0) | (s->dummy ? ASH_STEP_DUMMY : 0);
    ash_vocab_source_step step = { .kind = ASH_STEP_SPM,
                                   .flags = space | (s->escape ? ASH_STEP_ESCAPE : 0) |
                                            (s->suffix ? ASH_STEP_SUFFIX : 0),
                                   .text = (const char *)s->charsmap.at,
                                   .size = (uint32_t)length(s->charsmap) };
    ASH_TRY(ash_draft_step(d, &step, err));
    return ash_draft_step(d, &(ash_vocab_source_step){ .kind = ASH_STEP_DECODE_SPM, .flags = space }, err);
}

ash_status ash_import_tokenizer_model_bytes(const uint8_t *bytes, size_t size, const cJSON *config, const cJSON *added,
                                            const cJSON *special, ash_vocab_import *out, ash_error *err)
{
    memset(out, 0, sizeof *out);
    out->bos = out->eos = out->pad = -1;
    spec s;
    ASH_TRY(read_spec(&s, (message){ bytes, bytes + size }, err));
    uint64_t count = s.piece_count, added_count = s.piece_count;
    ASH_TRY(ash_config_count(config, &count, &added_count, err));
    ASH_TRY(count_added(added, &count, &added_count, err));
    if (count > s.piece_count + ASH_HOLES_MAX)
        return ash_fail(err, ASH_E_FORMAT, "added tokens have ids up to %llu behind %llu pieces",
                        (unsigned long long)count - 1, (unsigned long long)s.piece_count);
    if (added_count > ASH_VOCAB_ADDED_MAX)
        added_count = ASH_VOCAB_ADDED_MAX;
    ash_draft d;
    ASH_TRY(ash_draft_init(&d, count, added_count, err));
    d.model = s.unigram ? ASH_VOCAB_UNIGRAM : ASH_VOCAB_SPM_BPE;
    ash_status status = fill(&d, &s, config, added, special, err);
    if (status == ASH_OK)
        status = ash_draft_finish(&d, out, err);
    ash_draft_free(&d);
    return status;
}

/* folder/name parsed where it exists. */
static ash_status read_beside(const char *folder, const char *name, cJSON **out, ash_error *err)
{
    char *path = ash_path_join(folder, name);
    if (!path)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory for a path", folder);
    ash_status status = ash_path_exists(path) ? ash_json_read_file(path, JSON_MAX, out, err) : ASH_OK;
    free(path);
    return status;
}

ash_status ash_import_tokenizer_model(const char *folder, const cJSON *config, ash_vocab_import *out, ash_error *err)
{
    memset(out, 0, sizeof *out);
    char *path = ash_path_join(folder, "tokenizer.model");
    cJSON *added = NULL, *special = NULL;
    char *bytes = NULL;
    size_t size = 0;
    ash_status status = path ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: no memory for a path", folder);
    if (status == ASH_OK)
        status = ash_read_whole(path, MODEL_MAX, &bytes, &size, err);
    if (status == ASH_OK)
        status = read_beside(folder, "added_tokens.json", &added, err);
    if (status == ASH_OK)
        status = read_beside(folder, "special_tokens_map.json", &special, err);
    if (status == ASH_OK) {
        status = ash_import_tokenizer_model_bytes((const uint8_t *)bytes, size, config, added, special, out, err);
        if (status != ASH_OK)
            ash_fail_in(err, path);
    }
    cJSON_Delete(added);
    cJSON_Delete(special);
    free(bytes);
    free(path);
    return status;
}
