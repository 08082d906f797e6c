#include <stdlib.h>
#include <string.h>

#include "tests/support/make_vocab.h"

enum { TOKENS_MAX = 512, FIRST = 258 };

/* ---- character maps ---- */

enum { NODES_MAX = 256 };

/* Each node's children take a block of 256 units of their own: block k begins at unit 256 k, and a node's value, if it
 * has one, is the block's first unit. */
uint8_t *make_charsmap(const char *const *pairs, size_t *size)
{
    static uint32_t units[NODES_MAX * 256];
    uint32_t blocks = 2; /* block 0 holds the root's unit, block 1 its children */
    uint8_t texts[4096];
    size_t texts_bytes = 0;
    memset(units, 0, sizeof units);
    units[0] = 256u << 10;
    for (; pairs[0]; pairs += 2) {
        uint32_t unit = 0, base = 256;
        for (const uint8_t *k = (const uint8_t *)pairs[0]; *k; k++) {
            unit = base + *k;
            if (units[unit] == 0) {
                if (blocks == NODES_MAX)
                    return NULL;
                units[unit] = (unit ^ 256u * blocks++) << 10 | *k;
            }
            base = unit ^ units[unit] >> 10;
        }
        units[unit] |= 1u << 8;
        units[base] = 0x80000000u | (uint32_t)texts_bytes;
        size_t n = strlen(pairs[1]) + 1;
        if (texts_bytes + n > sizeof texts)
            return NULL;
        memcpy(texts + texts_bytes, pairs[1], n);
        texts_bytes += n;
    }
    uint32_t trie_bytes = blocks * 256 * 4;
    uint8_t *out = malloc(4 + trie_bytes + texts_bytes);
    if (!out)
        return NULL;
    memcpy(out, &trie_bytes, 4);
    memcpy(out + 4, units, trie_bytes);
    memcpy(out + 4 + trie_bytes, texts, texts_bytes);
    *size = 4 + trie_bytes + texts_bytes;
    return out;
}

/* ---- vocabularies ---- */

typedef struct builder {
    ash_vocab_source s;
    ash_vocab_source_token tokens[TOKENS_MAX];
    ash_vocab_source_merge merges[TOKENS_MAX];
    ash_vocab_source_added added[64];
    uint8_t bytes[256];
} builder;

static int32_t find(const builder *b, const char *text, size_t size)
{
    for (uint32_t id = FIRST; id < b->s.token_count; id++)
        if (b->tokens[id].size == size && memcmp(b->tokens[id].bytes, text, size) == 0)
            return (int32_t)id;
    return -1;
}

static void add_text(builder *b, const char *text, uint32_t size)
{
    uint16_t type = text[0] == '!' && size > 1 ? ASH_TOKEN_UNUSED : text[0] == '@' ? ASH_TOKEN_USER : ASH_TOKEN_NORMAL;
    if (type != ASH_TOKEN_NORMAL)
        text++, size--;
    uint32_t id = b->s.token_count;
    if (id == TOKENS_MAX)
        return;
    bool trie = b->s.model != ASH_VOCAB_UNIGRAM || type != ASH_TOKEN_UNUSED;
    uint16_t flags = trie ? ASH_TOKEN_MODEL : 0;
    double score = -1.0 - (id - FIRST);
    if (type == ASH_TOKEN_USER) {
        flags |= ASH_TOKEN_ADDED;
        score = b->s.model == ASH_VOCAB_UNIGRAM ? size * 0.5 : 0;
        b->added[b->s.added_count++] = (ash_vocab_source_added){ id, ASH_ADDED_SYMBOL, (const uint8_t *)text, size };
    }
    b->tokens[id] = (ash_vocab_source_token){ (const uint8_t *)text, size, flags, type, score };
    for (uint32_t cut = size; cut-- > 1;) {
        int32_t left = find(b, text, cut), right = find(b, text + cut, size - cut);
        if (left < 0 || right < 0 || b->s.model != ASH_VOCAB_CHAR_BPE)
            continue;
        b->merges[b->s.merge_count++] = (ash_vocab_source_merge){ (uint32_t)left, (uint32_t)right, id };
        break;
    }
    b->s.token_count++;
}

uint8_t *make_vocab_of(const vocab_spec *spec, size_t *size)
{
    builder *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->s = (ash_vocab_source){ .model = spec->model, .flags = spec->flags, .unk_score = -400, .bos = 1, .eos = 1,
                               .pad = -1, .unk = spec->no_unk ? -1 : 0, .token_count = FIRST, .tokens = b->tokens,
                               .merges = b->merges, .added = b->added, .steps = spec->steps,
                               .step_count = spec->step_count };
    b->tokens[0] = (ash_vocab_source_token){ (const uint8_t *)"<unk>", 5, 0, ASH_TOKEN_UNKNOWN, 0 };
    b->tokens[1] = (ash_vocab_source_token){ (const uint8_t *)"<s>", 3, ASH_TOKEN_ADDED | ASH_TOKEN_SPECIAL,
                                             ASH_TOKEN_CONTROL, 0 };
    b->added[b->s.added_count++] = (ash_vocab_source_added){ 1, ASH_ADDED_SPECIAL, (const uint8_t *)"<s>", 3 };
    for (uint32_t i = 0; i < 256; i++) {
        b->bytes[i] = (uint8_t)i;
        b->tokens[2 + i] = (ash_vocab_source_token){ &b->bytes[i], 1, 0, ASH_TOKEN_BYTE, 0 };
        b->s.byte_ids[i] = (int32_t)(2 + i);
    }
    for (const char *at = spec->texts ? spec->texts : VOCAB_TEXTS; *at; at += *at == ' ') {
        size_t n = strcspn(at, " ");
        add_text(b, at, (uint32_t)n);
        at += n;
    }
    for (uint32_t i = 0; i < spec->added_count; i++)
        b->added[b->s.added_count++] = spec->added[i];
    uint8_t *out;
    ash_error err;
    if (ash_vocab_build(&b->s, &out, size, &err) != ASH_OK)
        out = NULL;
    free(b);
    return out;
}

/* ---- steps ---- */

#define LOW "\u2581"
#define TEXT(t) .text = t, .size = sizeof(t) - 1
#define SECOND(t) .second = t, .second_size = sizeof(t) - 1

static const ash_vocab_source_step llama[] = {
    { .kind = ASH_STEP_PREPEND, TEXT(LOW) },
    { .kind = ASH_STEP_REPLACE, .flags = ASH_STEP_LITERAL, TEXT(" "), SECOND(LOW) },
    { .kind = ASH_STEP_DECODE_REPLACE, TEXT(LOW), SECOND(" ") },
    { .kind = ASH_STEP_DECODE_FALLBACK },
    { .kind = ASH_STEP_DECODE_FUSE },
    { .kind = ASH_STEP_DECODE_STRIP, TEXT(" "), .numbers = { 1, 0 } },
};
static const ash_vocab_source_step metaspace[] = {
    { .kind = ASH_STEP_METASPACE, .flags = ASH_STEP_CUT, TEXT(LOW) },
    { .kind = ASH_STEP_DECODE_METASPACE, TEXT(LOW) },
};
static const ash_vocab_source_step metaspace_first[] = {
    { .kind = ASH_STEP_STRIP, .flags = ASH_STEP_RIGHT },
    { .kind = ASH_STEP_SPLIT, TEXT("[.,]+") },
    { .kind = ASH_STEP_METASPACE, .behaviour = ASH_PREPEND_FIRST, TEXT(LOW) },
    { .kind = ASH_STEP_DECODE_METASPACE, .behaviour = ASH_PREPEND_FIRST, TEXT(LOW) },
};
static ash_vocab_source_step spm_trim[] = {
    { .kind = ASH_STEP_SPM, .flags = ASH_STEP_TRIM | ASH_STEP_DUMMY | ASH_STEP_ESCAPE },
    { .kind = ASH_STEP_DECODE_SPM, .flags = ASH_STEP_TRIM | ASH_STEP_DUMMY },
};
static const ash_vocab_source_step spm_plain[] = {
    { .kind = ASH_STEP_SPM, .flags = ASH_STEP_DUMMY | ASH_STEP_ESCAPE },
    { .kind = ASH_STEP_DECODE_SPM, .flags = ASH_STEP_DUMMY },
};
static const ash_vocab_source_step spm_suffix[] = {
    { .kind = ASH_STEP_SPM, .flags = ASH_STEP_DUMMY | ASH_STEP_ESCAPE | ASH_STEP_SUFFIX | ASH_STEP_TRIM },
    { .kind = ASH_STEP_DECODE_SPM, .flags = ASH_STEP_DUMMY | ASH_STEP_SUFFIX },
};
static ash_vocab_source_step everything[] = {
    { .kind = ASH_STEP_CHARSMAP },
    { .kind = ASH_STEP_NFKD },
    { .kind = ASH_STEP_STRIP_ACCENTS },
    { .kind = ASH_STEP_LOWERCASE },
    { .kind = ASH_STEP_REPLACE, TEXT("\\s+"), SECOND(" ") },
    { .kind = ASH_STEP_STRIP, .flags = ASH_STEP_LEFT | ASH_STEP_RIGHT },
    { .kind = ASH_STEP_SPLIT, .behaviour = ASH_SPLIT_MERGED_WITH_NEXT, TEXT("\\d") },
    { .kind = ASH_STEP_METASPACE, .flags = ASH_STEP_CUT, .behaviour = ASH_PREPEND_FIRST, TEXT(LOW) },
    { .kind = ASH_STEP_DECODE_JOIN },
    { .kind = ASH_STEP_DECODE_STRIP, TEXT("a"), .numbers = { 1, 1 } },
    { .kind = ASH_STEP_DECODE_FUSE },
    { .kind = ASH_STEP_DECODE_REPLACE, TEXT(" " LOW), SECOND(LOW) },
    { .kind = ASH_STEP_DECODE_METASPACE, .behaviour = ASH_PREPEND_NEVER, TEXT(LOW) },
    { .kind = ASH_STEP_DECODE_STRIP, TEXT("\u00e9"), .numbers = { 2, 2 } },
};
static const ash_vocab_source_step forms[] = {
    { .kind = ASH_STEP_NFC }, { .kind = ASH_STEP_NFKC }, { .kind = ASH_STEP_NFD },
    { .kind = ASH_STEP_PREFIX_SPACE },
    { .kind = ASH_STEP_SPLIT, .behaviour = ASH_SPLIT_REMOVED, .flags = ASH_STEP_LITERAL, TEXT(" ") },
    { .kind = ASH_STEP_DECODE_BYTES },
};
static const char *const map[] = {
    "\uff21", "A", "\uff42", "b", "\ufb01", "fi", "e\u0301", "\u00e9", "\u00a0", " ", "\u200b", "", "\u3000", "  ",
    "ab", "x", "abc", "yz", "\r\n", " ", "\t", " ", "\u2122", "TM", NULL,
};

uint32_t vocab_chain(unsigned which, const ash_vocab_source_step **steps)
{
    static char *blob;
    static size_t blob_size;
    if (!blob)
        blob = (char *)make_charsmap(map, &blob_size);
    spm_trim[0].text = everything[0].text = blob;
    spm_trim[0].size = everything[0].size = (uint32_t)blob_size;
    static const struct { const ash_vocab_source_step *steps; uint32_t count;
    } chains[VOCAB_CHAINS] = {
        { NULL, 0 },
        { llama, sizeof llama / sizeof *llama },
        { metaspace, sizeof metaspace / sizeof *metaspace },
        { metaspace_first, sizeof metaspace_first / sizeof *metaspace_first },
        { spm_trim, sizeof spm_trim / sizeof *spm_trim },
        { spm_plain, sizeof spm_plain / sizeof *spm_plain },
        { spm_suffix, sizeof spm_suffix / sizeof *spm_suffix },
        { everything, sizeof everything / sizeof *everything },
        { forms, sizeof forms / sizeof *forms },
    };
    *steps = chains[which % VOCAB_CHAINS].steps;
    return chains[which % VOCAB_CHAINS].count;
}
