/* Opening a TOKN section, and finding a token by its bytes. */
#include "format/vocab.h"

#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "format/checked.h"

static bool power_of_two(uint32_t x) { return x != 0 && (x & (x - 1)) == 0; }

static ash_status check_array(const ash_vocab_header *h, const char *what, uint64_t offset, uint64_t count,
                              uint64_t each, ash_error *err)
{
    uint64_t bytes;
    if (offset % 8 != 0 || offset < sizeof *h || !ash_mul(count, each, &bytes) ||
        !ash_inside(offset, bytes, h->section_bytes))
        return ash_fail(err, ASH_E_FORMAT,
                        "tokenizer section: the %s (%llu of %llu bytes at %llu) lie outside its %llu bytes", what,
                        (unsigned long long)count, (unsigned long long)each, (unsigned long long)offset,
                        (unsigned long long)h->section_bytes);
    return ASH_OK;
}

static bool id_or_none(const ash_vocab_header *h, int32_t id)
{
    return id >= -1 && (id == -1 || (uint32_t)id < h->token_count);
}

static ash_status check_header(const ash_vocab_header *h, size_t size, ash_error *err)
{
    if (h->magic != ASH_VOCAB_MAGIC)
        return ash_fail(err, ASH_E_FORMAT, "tokenizer section: magic is 0x%08x, not TOKN", h->magic);
    if (h->version != ASH_VOCAB_VERSION)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "tokenizer section: version %u, this build reads %u; convert the model again", h->version,
                        ASH_VOCAB_VERSION);
    if (h->header_bytes != sizeof *h || h->section_bytes != size)
        return ash_fail(err, ASH_E_FORMAT,
                        "tokenizer section: header of %u bytes for %llu bytes of section, expected %zu for %zu",
                        h->header_bytes, (unsigned long long)h->section_bytes, sizeof *h, size);
    if (h->model < ASH_VOCAB_BYTE_BPE || h->model > ASH_VOCAB_CHAR_BPE)
        return ash_fail(err, ASH_E_UNSUPPORTED, "tokenizer section: kind of model %u; this version runs 1 to %d",
                        h->model, ASH_VOCAB_CHAR_BPE);
    if (h->flags & ~ASH_VOCAB_FLAGS_KNOWN)
        return ash_fail(err, ASH_E_UNSUPPORTED, "tokenizer section: unknown flags 0x%x",
                        h->flags & ~ASH_VOCAB_FLAGS_KNOWN);
    if (h->token_count == 0 || h->token_count > ASH_VOCAB_TOKENS_MAX)
        return ash_fail(err, ASH_E_FORMAT, "tokenizer section: %u tokens, allowed are 1 to %u", h->token_count,
                        ASH_VOCAB_TOKENS_MAX);
    if (!power_of_two(h->slot_count) || !power_of_two(h->merge_slot_count) || h->merge_slot_count < 2)
        return ash_fail(err, ASH_E_FORMAT, "tokenizer section: hash tables of %u and %u slots are no powers of two",
                        h->slot_count, h->merge_slot_count);
    if (h->slot_probes > ASH_VOCAB_PROBES_MAX || h->merge_probes > ASH_VOCAB_PROBES_MAX)
        return ash_fail(err, ASH_E_FORMAT, "tokenizer section: searches of %u and %u slots, allowed are %u",
                        h->slot_probes, h->merge_probes, ASH_VOCAB_PROBES_MAX);
    if (h->added_count > ASH_VOCAB_ADDED_MAX || h->added_raw_count > h->added_count ||
        h->step_count > ASH_VOCAB_STEPS_MAX)
        return ash_fail(err, ASH_E_FORMAT,
                        "tokenizer section: %u added tokens (%u raw) and %u steps, allowed are %u and %u",
                        h->added_count, h->added_raw_count, h->step_count, ASH_VOCAB_ADDED_MAX, ASH_VOCAB_STEPS_MAX);
    bool unigram = h->model == ASH_VOCAB_UNIGRAM;
    if (h->score_count != (unigram ? h->token_count : 0) || (h->trie_count != 0) != unigram ||
        h->trie_count > ASH_VOCAB_TRIE_MAX || !isfinite(h->unk_score))
        return ash_fail(err, ASH_E_FORMAT,
                        "tokenizer section: %u scores, %u trie units, unk's score %g do not fit %u tokens of kind %u",
                        h->score_count, h->trie_count, h->unk_score, h->token_count, h->model);
    if (h->pool_bytes > UINT32_MAX)
        return ash_fail(err, ASH_E_FORMAT, "tokenizer section: string pool of %llu bytes, at most 4 GiB - 1",
                        (unsigned long long)h->pool_bytes);
    ASH_TRY(check_array(h, "tokens", h->tokens, h->token_count, sizeof(ash_vocab_token), err));
    ASH_TRY(check_array(h, "token slots", h->slots, h->slot_count, sizeof(ash_vocab_slot), err));
    ASH_TRY(check_array(h, "merges", h->merges, h->merge_slot_count, sizeof(ash_vocab_merge), err));
    ASH_TRY(check_array(h, "added tokens", h->added, h->added_count, sizeof(ash_vocab_added), err));
    ASH_TRY(check_array(h, "steps", h->steps, h->step_count, sizeof(ash_vocab_step), err));
    ASH_TRY(check_array(h, "scores", h->scores, h->score_count, sizeof(double), err));
    ASH_TRY(check_array(h, "trie", h->trie, h->trie_count, sizeof(ash_vocab_trie), err));
    ASH_TRY(check_array(h, "strings", h->pool, h->pool_bytes, 1, err));
    if (!id_or_none(h, h->bos) || !id_or_none(h, h->eos) || !id_or_none(h, h->pad) || !id_or_none(h, h->unk))
        return ash_fail(err, ASH_E_FORMAT, "tokenizer section: bos %d, eos %d, pad %d, unk %d in a vocabulary of %u",
                        h->bos, h->eos, h->pad, h->unk, h->token_count);
    for (int i = 0; i < 256; i++)
        if (!id_or_none(h, h->byte_ids[i]))
            return ash_fail(err, ASH_E_FORMAT, "tokenizer section: byte 0x%02x has token %d in a vocabulary of %u", i,
                            h->byte_ids[i], h->token_count);
    return ASH_OK;
}

static ash_status check_added(const ash_vocab *v, ash_error *err)
{
    const ash_vocab_header *h = v->header;
    for (uint32_t i = 0; i < h->added_count; i++) {
        const ash_vocab_added *a = &v->added[i];
        bool normalized = (a->flags & ASH_ADDED_NORMALIZED) != 0;
        if (a->id >= h->token_count || a->bytes == 0 || (a->flags & ~ASH_ADDED_FLAGS_KNOWN) ||
            (normalized && (a->flags & ASH_ADDED_SYMBOL)) || normalized != (i >= h->added_raw_count) ||
            !ash_inside(a->offset, a->bytes, h->pool_bytes))
            return ash_fail(err, ASH_E_FORMAT,
                            "tokenizer section: added token %u (id %u, flags 0x%x, %u bytes) is not valid", i, a->id,
                            a->flags, a->bytes);
    }
    return ASH_OK;
}

/* What a kind of step may have. `text`: 0 none, 1 one, 2 one character. */
typedef struct step_rule {
    uint16_t kind, behaviour_max, flags;
    uint8_t text;
    bool second, numbers;
    uint32_t text_max;
} step_rule;

static const step_rule *rule_of(uint16_t kind)
{
    static const step_rule rules[] = {
        { ASH_STEP_SPLIT, ASH_SPLIT_CONTIGUOUS, ASH_STEP_INVERT | ASH_STEP_LITERAL, 1, 0, 0, ASH_VOCAB_PATTERN_MAX },
        { ASH_STEP_PREFIX_SPACE, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_METASPACE, ASH_PREPEND_NEVER, ASH_STEP_CUT, 2, 0, 0, 4 },
        { ASH_STEP_NFC, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_NFD, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_NFKC, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_NFKD, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_PREPEND, 0, 0, 1, 0, 0, ASH_VOCAB_PATTERN_MAX },
        { ASH_STEP_REPLACE, 0, ASH_STEP_LITERAL, 1, 1, 0, ASH_VOCAB_PATTERN_MAX },
        { ASH_STEP_LOWERCASE, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_STRIP, 0, ASH_STEP_LEFT | ASH_STEP_RIGHT, 0, 0, 0, 0 },
        { ASH_STEP_STRIP_ACCENTS, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_CHARSMAP, 0, 0, 1, 0, 0, ASH_VOCAB_MAP_MAX },
        { ASH_STEP_SPM, 0, ASH_STEP_TRIM | ASH_STEP_DUMMY | ASH_STEP_ESCAPE | ASH_STEP_SUFFIX, 1, 0, 0,
          ASH_VOCAB_MAP_MAX },
        { ASH_STEP_DECODE_BYTES, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_DECODE_REPLACE, 0, ASH_STEP_LITERAL, 1, 1, 0, ASH_VOCAB_PATTERN_MAX },
        { ASH_STEP_DECODE_FALLBACK, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_DECODE_FUSE, 0, 0, 0, 0, 0, 0 },
        { ASH_STEP_DECODE_STRIP, 0, 0, 2, 0, 1, 4 },
        { ASH_STEP_DECODE_METASPACE, ASH_PREPEND_NEVER, 0, 2, 0, 0, 4 },
        { ASH_STEP_DECODE_SPM, 0, ASH_STEP_TRIM | ASH_STEP_DUMMY | ASH_STEP_SUFFIX, 0, 0, 0, 0 },
        { ASH_STEP_DECODE_JOIN, 0, 0, 0, 0, 0, 0 },
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].kind == kind)
            return &rules[i];
    return NULL;
}

static ash_status check_steps(const ash_vocab *v, ash_error *err)
{
    const ash_vocab_header *h = v->header;
    int stage = 0;
    for (uint32_t i = 0; i < h->step_count; i++) {
        const ash_vocab_step *s = &v->steps[i];
        const step_rule *rule = rule_of(s->kind);
        if (!rule)
            return ash_fail(err, ASH_E_UNSUPPORTED,
                            "tokenizer section: step %u has kind %u, which this version does not know", i, s->kind);
        if (s->flags & ~(uint32_t)rule->flags || s->behaviour > rule->behaviour_max)
            return ash_fail(err, ASH_E_UNSUPPORTED,
                            "tokenizer section: step %u has flags 0x%x and behaviour %u, unknown here", i, s->flags,
                            s->behaviour);
        if (!ash_inside(s->text_offset, s->text_bytes, h->pool_bytes) || s->text_bytes > rule->text_max ||
            !ash_inside(s->second_offset, s->second_bytes, h->pool_bytes) ||
            s->second_bytes > (rule->second ? ASH_VOCAB_PATTERN_MAX : 0) ||
            (!rule->numbers && (s->numbers[0] | s->numbers[1]) != 0) ||
            (rule->text == 2 &&
             (s->text_bytes == 0 || ash_vocab_char_bytes(v->pool + s->text_offset, s->text_bytes) != s->text_bytes)))
            return ash_fail(err, ASH_E_FORMAT,
                            "tokenizer section: step %u has texts of %u and %u bytes at %u and %u of %llu, which kind "
                            "%u does not take",
                            i, s->text_bytes, s->second_bytes, s->text_offset, s->second_offset,
                            (unsigned long long)h->pool_bytes, s->kind);
        int now = ash_step_normalizes(s->kind) ? 0 : ash_step_cuts(s->kind) ? 1 : 2;
        if (now < stage)
            return ash_fail(err, ASH_E_FORMAT, "tokenizer section: step %u, kind %u, stands behind later kinds", i,
                            s->kind);
        stage = now;
    }
    return ASH_OK;
}

ash_status ash_vocab_open(const void *section, size_t size, ash_vocab *out, ash_error *err)
{
    memset(out, 0, sizeof *out);
    const uint8_t *base = section;
    if ((uintptr_t)base % 8 != 0)
        return ash_fail(err, ASH_E_ARGUMENT, "tokenizer section: its memory is not aligned to 8 bytes");
    if (base == NULL || size < sizeof(ash_vocab_header))
        return ash_fail(err, ASH_E_FORMAT, "tokenizer section: %zu bytes, its header alone takes %zu", size,
                        sizeof(ash_vocab_header));
    const ash_vocab_header *h = section;
    ASH_TRY(check_header(h, size, err));
    ash_vocab v = {
        .header = h,
        .tokens = (const ash_vocab_token *)(base + h->tokens),
        .slots = (const ash_vocab_slot *)(base + h->slots),
        .merges = (const ash_vocab_merge *)(base + h->merges),
        .added = (const ash_vocab_added *)(base + h->added),
        .steps = (const ash_vocab_step *)(base + h->steps),
        .scores = (const double *)(base + h->scores),
        .trie = (const ash_vocab_trie *)(base + h->trie),
        .pool = base + h->pool,
        .merge_shift = 64 - (uint32_t)__builtin_ctz(h->merge_slot_count),
    };
    ASH_TRY(check_added(&v, err));
    ASH_TRY(check_steps(&v, err));
    *out = v;
    return ASH_OK;
}

int32_t ash_vocab_search(const ash_vocab *v, const void *bytes, size_t size, uint16_t flags)
{
    if (size == 0)
        return -1;
    const ash_vocab_header *h = v->header;
    uint64_t hash = XXH3_64bits(bytes, size);
    uint32_t mask = h->slot_count - 1, at = (uint32_t)hash & mask, tag = (uint32_t)(hash >> 32);
    uint32_t best = ASH_VOCAB_NONE;
    bool best_added = false;
    for (uint32_t probes = h->slot_probes; probes != 0; probes--, at = (at + 1) & mask) {
        const ash_vocab_slot *s = &v->slots[at];
        if (s->id == ASH_VOCAB_NONE)
            break;
        if (s->tag != tag || s->id >= h->token_count)
            continue;
        const ash_vocab_token *t = &v->tokens[s->id];
        size_t length;
        const uint8_t *text = ash_vocab_bytes(v, s->id, &length);
        if ((t->flags & flags) != flags || length != size || memcmp(text, bytes, size) != 0)
            continue;
        /* Text pieces ask for WHOLE, which the builder gives to one of equal tokens: the first is the answer. */
        if (flags & ASH_TOKEN_WHOLE)
            return (int32_t)s->id;
        bool added = (t->flags & ASH_TOKEN_ADDED) != 0;
        if (best == ASH_VOCAB_NONE || (added && !best_added) || (added == best_added && s->id < best)) {
            best = s->id;
            best_added = added;
        }
    }
    return best == ASH_VOCAB_NONE ? -1 : (int32_t)best;
}
