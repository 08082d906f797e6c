/* The steps of a section as a tokenizer.json has them: normalizer, pre_tokenizer and decoder. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "convert/export_internal.h"
#include "convert/tokenizer_internal.h"

#define TEXTS_MAX (2 * ASH_VOCAB_MAP_MAX) /* bytes of all steps */

static const char *text_of(const ash_vocab *v, const ash_vocab_step *s)
{
    return (const char *)v->pool + s->text_offset;
}

static bool text_is(const ash_vocab *v, const ash_vocab_step *s, const char *text)
{
    return s->text_bytes == strlen(text) && memcmp(text_of(v, s), text, s->text_bytes) == 0;
}

static void put_key(FILE *f, const char *key, const char *text, size_t size)
{
    fprintf(f, ",\"%s\":", key);
    ash_json_put_string(f, text, size);
}

static const char *word(bool value) { return value ? "true" : "false"; }

/* "pattern": a text, or an expression in Oniguruma's syntax. */
static ash_status put_pattern(const ash_vocab *v, const ash_vocab_step *s, FILE *f, ash_error *err)
{
    if (s->flags & ASH_STEP_LITERAL) {
        fprintf(f, ",\"pattern\":{\"String\":");
        ash_json_put_string(f, text_of(v, s), s->text_bytes);
        fputc('}', f);
        return ASH_OK;
    }
    char *expression = ash_expression_back(text_of(v, s), s->text_bytes);
    if (!expression)
        return ash_fail(err, ASH_E_UNSUPPORTED, "the tokenizer's expression of %" PRIu32 " bytes cannot be said in a "
                        "tokenizer.json", s->text_bytes);
    fprintf(f, ",\"pattern\":{\"Regex\":");
    ash_json_put_string(f, expression, strlen(expression));
    fputc('}', f);
    free(expression);
    return ASH_OK;
}

/* ---- normalizer ---- */

static void put_base64(FILE *f, const char *text, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < size ? (uint8_t)text[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            fputc(i + k <= size ? digits[bits >> (18 - 6 * k) & 63] : '=', f);
    }
}

static ash_status put_normalizer(const ash_vocab *v, const ash_vocab_step *s, FILE *f, ash_error *err)
{
    static const struct { uint16_t kind; const char *type; } simple[] = {
        { ASH_STEP_NFC, "NFC" },   { ASH_STEP_NFD, "NFD" },   { ASH_STEP_NFKC, "NFKC" },
        { ASH_STEP_NFKD, "NFKD" }, { ASH_STEP_LOWERCASE, "Lowercase" },
    };
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
        if (s->kind == simple[i].kind) {
            fprintf(f, "{\"type\":\"%s\"}", simple[i].type);
            return ASH_OK;
        }
    switch (s->kind) {
    case ASH_STEP_PREPEND:
        fprintf(f, "{\"type\":\"Prepend\"");
        put_key(f, "prepend", text_of(v, s), s->text_bytes);
        break;
    case ASH_STEP_REPLACE:
        if (!(s->flags & ASH_STEP_LITERAL) && s->second_bytes == 0 && text_is(v, s, ash_json_marks)) {
            fprintf(f, "{\"type\":\"StripAccents\"");
            break;
        }
        fprintf(f, "{\"type\":\"Replace\"");
        ASH_TRY(put_pattern(v, s, f, err));
        put_key(f, "content", (const char *)v->pool + s->second_offset, s->second_bytes);
        break;
    case ASH_STEP_STRIP:
        fprintf(f, "{\"type\":\"Strip\",\"strip_left\":%s,\"strip_right\":%s", word(s->flags & ASH_STEP_LEFT),
                word(s->flags & ASH_STEP_RIGHT));
        break;
    case ASH_STEP_CHARSMAP:
        fprintf(f, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"");
        put_base64(f, text_of(v, s), s->text_bytes);
        fputc('"', f);
        break;
    default:
        return ash_fail(err, ASH_E_UNSUPPORTED, "the tokenizer's step %d on text cannot be said in a tokenizer.json",
                        s->kind);
    }
    fputc('}', f);
    return ASH_OK;
}

/* ---- pre_tokenizer ---- */

static ash_status put_split(const ash_vocab *v, const ash_vocab_step *s, FILE *f, ash_error *err)
{
    static const char *const behaviours[] = { "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext",
                                              "Contiguous" }; /* in the order of ash_split_behaviour */
    const char *behaviour = behaviours[s->behaviour < 5 ? s->behaviour : 0]; /* checked when the section was opened */
    if (!(s->flags & (ASH_STEP_LITERAL | ASH_STEP_INVERT)) && text_is(v, s, ash_json_punctuation)) {
        fprintf(f, "{\"type\":\"Punctuation\",\"behavior\":\"%s\"}", behaviour);
        return ASH_OK;
    }
    fprintf(f, "{\"type\":\"Split\"");
    ASH_TRY(put_pattern(v, s, f, err));
    fprintf(f, ",\"behavior\":\"%s\",\"invert\":%s}", behaviour, word(s->flags & ASH_STEP_INVERT));
    return ASH_OK;
}

static const char *prepend_scheme(uint16_t behaviour)
{
    return behaviour == ASH_PREPEND_NEVER ? "never" : behaviour == ASH_PREPEND_FIRST ? "first" : "always";
}

static void put_byte_level(FILE *f, bool space, bool regex)
{
    fprintf(f, "{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"trim_offsets\":true,\"use_regex\":%s}", word(space),
            word(regex));
}

/* Behind the splits of a byte-level tokenizer comes ByteLevel. A space in front of pieces is its own, before GPT-2's
 * split if that is the last step. *skip: how many steps it covers. */
static bool byte_level_from(const ash_vocab *v, const ash_vocab_step *s, uint32_t left, uint32_t *skip, FILE *f)
{
    if (s->kind != ASH_STEP_PREFIX_SPACE || left > 2)
        return false;
    bool split = left == 2 && s[1].kind == ASH_STEP_SPLIT && s[1].behaviour == ASH_SPLIT_ISOLATED && s[1].flags == 0 &&
                 ash_expression_same(ASH_GPT2_EXPRESSION, strlen(ASH_GPT2_EXPRESSION), text_of(v, &s[1]),
                                     s[1].text_bytes);
    if (left == 2 && !split)
        return false;
    put_byte_level(f, true, split);
    *skip = left;
    return true;
}

static ash_status put_cut(const ash_vocab *v, const ash_vocab_step *s, FILE *f, ash_error *err)
{
    if (s->kind == ASH_STEP_SPLIT)
        return put_split(v, s, f, err);
    if (s->kind != ASH_STEP_METASPACE)
        return ash_fail(err, ASH_E_UNSUPPORTED, "the tokenizer's step %d before the model cannot be said in a "
                        "tokenizer.json", s->kind);
    fprintf(f, "{\"type\":\"Metaspace\"");
    put_key(f, "replacement", text_of(v, s), s->text_bytes);
    fprintf(f, ",\"prepend_scheme\":\"%s\",\"split\":%s}", prepend_scheme(s->behaviour), word(s->flags & ASH_STEP_CUT));
    return ASH_OK;
}

/* ---- decoder ---- */

static ash_status put_decoder(const ash_vocab *v, const ash_vocab_step *s, FILE *f, ash_error *err)
{
    switch (s->kind) {
    case ASH_STEP_DECODE_REPLACE:
        fprintf(f, "{\"type\":\"Replace\",\"pattern\":{\"String\":");
        ash_json_put_string(f, text_of(v, s), s->text_bytes);
        fputc('}', f);
        put_key(f, "content", (const char *)v->pool + s->second_offset, s->second_bytes);
        break;
    case ASH_STEP_DECODE_FALLBACK: fprintf(f, "{\"type\":\"ByteFallback\""); break;
    case ASH_STEP_DECODE_FUSE: fprintf(f, "{\"type\":\"Fuse\""); break;
    case ASH_STEP_DECODE_STRIP:
        fprintf(f, "{\"type\":\"Strip\"");
        put_key(f, "content", text_of(v, s), s->text_bytes);
        fprintf(f, ",\"start\":%" PRIu32 ",\"stop\":%" PRIu32, s->numbers[0], s->numbers[1]);
        break;
    case ASH_STEP_DECODE_METASPACE:
        fprintf(f, "{\"type\":\"Metaspace\"");
        put_key(f, "replacement", text_of(v, s), s->text_bytes);
        fprintf(f, ",\"prepend_scheme\":\"%s\",\"split\":true", prepend_scheme(s->behaviour));
        break;
    default:
        return ash_fail(err, ASH_E_UNSUPPORTED, "the tokenizer's step %d behind the model cannot be said in a "
                        "tokenizer.json", s->kind);
    }
    fputc('}', f);
    return ASH_OK;
}

/* ---- the lists ---- */

static ash_status put_normalizers(const ash_vocab *v, uint32_t first, uint32_t end, FILE *f, ash_error *err)
{
    fprintf(f, "\"normalizer\":");
    if (first == end)
        fprintf(f, "null");
    else
        fprintf(f, "{\"type\":\"Sequence\",\"normalizers\":[");
    for (uint32_t i = first; i < end; i++) {
        fprintf(f, "%s", i > first ? "," : "");
        ASH_TRY(put_normalizer(v, &v->steps[i], f, err));
    }
    fprintf(f, "%s,\n", first == end ? "" : "]}");
    return ASH_OK;
}

static ash_status put_cuts(const ash_vocab *v, uint32_t first, uint32_t end, FILE *f, ash_error *err)
{
    bool bytes = v->header->model == ASH_VOCAB_BYTE_BPE, ended = false;
    fprintf(f, "\"pre_tokenizer\":");
    if (first == end && !bytes) {
        fprintf(f, "null,\n");
        return ASH_OK;
    }
    fprintf(f, "{\"type\":\"Sequence\",\"pretokenizers\":[");
    for (uint32_t i = first; i < end && !ended; i++) {
        uint32_t covered;
        fprintf(f, "%s", i > first ? "," : "");
        ended = bytes && byte_level_from(v, &v->steps[i], end - i, &covered, f);
        if (!ended)
            ASH_TRY(put_cut(v, &v->steps[i], f, err));
    }
    if (bytes && !ended) {
        fprintf(f, "%s", end > first ? "," : "");
        put_byte_level(f, false, false);
    }
    fprintf(f, "]},\n");
    return ASH_OK;
}

static ash_status put_decoders(const ash_vocab *v, uint32_t first, uint32_t end, FILE *f, ash_error *err)
{
    bool bytes = v->header->model == ASH_VOCAB_BYTE_BPE;
    fprintf(f, "\"decoder\":");
    if (first == end && bytes) {
        put_byte_level(f, true, true);
        fprintf(f, ",\n");
        return ASH_OK;
    }
    if (first == end || (end - first == 1 && v->steps[first].kind == ASH_STEP_DECODE_JOIN)) {
        fprintf(f, "null,\n");
        return ASH_OK;
    }
    fprintf(f, "{\"type\":\"Sequence\",\"decoders\":[");
    for (uint32_t i = first; i < end; i++) {
        fprintf(f, "%s", i > first ? "," : "");
        if (bytes && v->steps[i].kind == ASH_STEP_DECODE_BYTES && i + 1 < end &&
            v->steps[i + 1].kind == ASH_STEP_DECODE_FUSE) {
            put_byte_level(f, true, true);
            i++;
            continue;
        }
        ASH_TRY(put_decoder(v, &v->steps[i], f, err));
    }
    fprintf(f, "]},\n");
    return ASH_OK;
}

/* SentencePiece's own steps, as those who turn a tokenizer.model into a tokenizer.json say them. */
static ash_status put_spm(const ash_vocab *v, FILE *f, ash_error *err)
{
    const ash_vocab_step *s = v->steps;
    static const uint32_t known = ASH_STEP_ESCAPE | ASH_STEP_DUMMY;
    if (v->header->step_count != 2 || s[0].kind != ASH_STEP_SPM || s[1].kind != ASH_STEP_DECODE_SPM ||
        !(s[0].flags & ASH_STEP_ESCAPE) || (s[0].flags & ~known) || s[0].text_bytes != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "the tokenizer has SentencePiece's map, trimming or suffixes, which a "
                        "tokenizer.json cannot say to the letter");
    bool dummy = s[0].flags & ASH_STEP_DUMMY;
    fprintf(f, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[%s{\"type\":\"Replace\",\"pattern\":"
               "{\"String\":\" \"},\"content\":\"" ASH_METASPACE "\"}]},\n\"pre_tokenizer\":null,\n",
            dummy ? "{\"type\":\"Prepend\",\"prepend\":\"" ASH_METASPACE "\"}," : "");
    fprintf(f, "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\""
               ASH_METASPACE "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}%s]},\n",
            dummy ? ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}" : "");
    return ASH_OK;
}

ash_status ash_export_steps(const ash_vocab *v, FILE *f, ash_error *err)
{
    if (v->header->model == ASH_VOCAB_SPM_BPE)
        return put_spm(v, f, err);
    uint32_t count = v->header->step_count, cuts = 0, decoders;
    uint64_t bytes = 0; /* steps may share theirs */
    for (uint32_t i = 0; i < count; i++)
        bytes += (uint64_t)v->steps[i].text_bytes + v->steps[i].second_bytes;
    if (bytes > TEXTS_MAX)
        return ash_fail(err, ASH_E_LIMIT, "the texts of the tokenizer's steps have %" PRIu64 " bytes, at most %u are "
                        "exported", bytes, TEXTS_MAX);
    while (cuts < count && ash_step_normalizes(v->steps[cuts].kind))
        cuts++;
    for (decoders = cuts; decoders < count && ash_step_cuts(v->steps[decoders].kind);)
        decoders++;
    ASH_TRY(put_normalizers(v, 0, cuts, f, err));
    ASH_TRY(put_cuts(v, cuts, decoders, f, err));
    return put_decoders(v, decoders, count, f, err);
}
