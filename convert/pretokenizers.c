/* The names that GGUF files use for pre-tokenizers (tokenizer.ggml.pre), with the steps they stand for. A name covers
 * the contractions' case, how digits group, and whether a piece that is a token skips the merges. */
#include <stdio.h>
#include <string.h>

#include "convert/tokenizer_internal.h"

#define CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define WORDS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct pretokenizer {
    const char *names; /* separated by commas; the first is the one that errors list */
    const char *first, *second; /* splits, one after another; second may be NULL */
    uint32_t flags;
} table[] = {
    { "llama-bpe,llama3,llama-v3", CONTRACTIONS WORDS "|\\p{N}{1,3}" REST, NULL,
      ASH_VOCAB_IGNORE_MERGES | ASH_VOCAB_ADD_BOS },
    { "qwen2,deepseek-r1-qwen", CONTRACTIONS WORDS "|\\p{N}" REST, NULL, 0 },
    { "gpt-2", ASH_GPT2_EXPRESSION, NULL, 0 },
    { "smollm", "\\p{N}", ASH_GPT2_EXPRESSION, 0 },
};

static bool listed(const char *names, const char *name, size_t size)
{
    while (*names) {
        size_t n = strcspn(names, ",");
        if (n == size && memcmp(names, name, n) == 0)
            return true;
        names += n + (names[n] == ',');
    }
    return false;
}

ash_status ash_draft_pretokenizer(ash_draft *d, const char *name, size_t size, ash_error *err)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!listed(table[i].names, name, size))
            continue;
        d->flags |= table[i].flags;
        ASH_TRY(ash_draft_split(d, table[i].first, false, ASH_SPLIT_ISOLATED, false, err));
        if (table[i].second)
            ASH_TRY(ash_draft_split(d, table[i].second, false, ASH_SPLIT_ISOLATED, false, err));
        d->byte_level = true;
        return ASH_OK;
    }
    char known[200] = "";
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", table[i].names);
    }
    return ash_fail(err, ASH_E_UNSUPPORTED,
                    "tokenizer.ggml.pre names the pre-tokenizer \"%.*s\", which is not known; known are %s",
                    size < 64 ? (int)size : 64, name, known);
}
