#include "tests/support/make_vocab.h"

#include <string.h>

#include "format/vocab.h"

enum { MERGES = 12, TOKENS = 256 + MERGES + 3 };

uint8_t *make_vocab(const char *expression, size_t *size)
{
    if (!expression)
        expression = "'s|'t| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    static const char *const merged[MERGES][2] = {
        { "t", "h" }, { "th", "e" }, { " ", "the" }, { "i", "n" }, { "a", "n" }, { "e", "r" }, { "o", "n" },
        { "a", "a" }, { "aa", "aa" }, { "\xc3", "\xa9" }, { " ", " " }, { "  ", "  " },
    };
    static uint8_t bytes[256];
    static char texts[MERGES][8];
    static ash_vocab_source_token tokens[TOKENS];
    static ash_vocab_source_merge merges[MERGES];
    ash_vocab_source s = { .model = ASH_VOCAB_BYTE_BPE, .flags = ASH_VOCAB_ADD_BOS,
                           .bos = TOKENS - 3, .eos = TOKENS - 3, .pad = -1, .unk = -1,
                           .token_count = TOKENS, .merge_count = MERGES, .tokens = tokens, .merges = merges };
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
        tokens[i] = (ash_vocab_source_token){ &bytes[i], 1, ASH_TOKEN_MODEL, ASH_TOKEN_NORMAL, 0 };
        s.byte_ids[i] = i;
    }
    for (int i = 0; i < MERGES; i++) {
        uint32_t side[2] = { 0, 0 };
        for (int k = 0; k < 2; k++)
            for (uint32_t id = 0; id < 256u + (uint32_t)i; id++)
                if (tokens[id].size == strlen(merged[i][k]) &&
                    memcmp(tokens[id].bytes, merged[i][k], tokens[id].size) == 0)
                    side[k] = id;
        strcat(strcpy(texts[i], merged[i][0]), merged[i][1]);
        tokens[256 + i] = (ash_vocab_source_token) { (const uint8_t *)texts[i], (uint32_t)strlen(texts[i]),
                                                     ASH_TOKEN_MODEL, ASH_TOKEN_NORMAL, 0 };
        merges[i] = (ash_vocab_source_merge){ side[0], side[1], 256 + (uint32_t)i };
    }
    static const struct { const char *text; uint32_t flags;
    } added[3] = {
        { "<s>", ASH_ADDED_SPECIAL | ASH_ADDED_LSTRIP | ASH_ADDED_RSTRIP },
        { "\t\t", 0 },
        { "word", ASH_ADDED_NORMALIZED | ASH_ADDED_SINGLE_WORD },
    };
    ash_vocab_source_added list[3];
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t id = TOKENS - 3 + i, bytes_of = (uint32_t)strlen(added[i].text);
        uint16_t flags = ASH_TOKEN_ADDED | (added[i].flags & ASH_ADDED_SPECIAL ? ASH_TOKEN_SPECIAL : 0);
        tokens[id] = (ash_vocab_source_token){ (const uint8_t *)added[i].text, bytes_of, flags, ASH_TOKEN_USER, 0 };
        list[i] = (ash_vocab_source_added){ id, added[i].flags, (const uint8_t *)added[i].text, bytes_of };
    }
    ash_vocab_source_step steps[2] = {
        { .kind = ASH_STEP_NFC },
        { .kind = ASH_STEP_SPLIT, .text = expression, .size = (uint32_t)strlen(expression) },
    };
    s.added = list;
    s.added_count = 3;
    s.steps = steps;
    s.step_count = 2;
    uint8_t *out;
    ash_error err;
    return ash_vocab_build(&s, &out, size, &err) == ASH_OK ? out : NULL;
}
