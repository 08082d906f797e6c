#include "tests/support/use_vocab.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer.h"

#define MUST(expr)   \
    do {             \
        if (!(expr)) \
            abort(); \
    } while (0)

static const char *const texts[] = {
    "",
    "the other one, in <s> a\t\tword </s>",
    " caf\xc3\xa9 cafe\xcc\x81 12 aaaaaaaaaa\n",
    "\xff\xfe\xc3 \xe2\x96\x81\xe2\x82<0x0A>",
    "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80",
};

static void use_text(const ash_tokenizer *t, const char *text, unsigned flags)
{
    ash_error err = { 0 };
    int32_t *ids, *again;
    size_t count, again_count, size;
    const char *piece;
    ash_decoding *d;
    if (ash_tokenizer_encode(t, text, strlen(text), flags, &ids, &count, &err) != ASH_OK) {
        MUST(err.text[0] && !strchr(err.text, '\n'));
        return;
    }
    MUST(ash_tokenizer_encode(t, text, strlen(text), flags, &again, &again_count, &err) == ASH_OK);
    MUST(count == again_count && (count == 0 || memcmp(ids, again, count * sizeof *ids) == 0));
    for (size_t i = 0; i < count; i++)
        MUST(ids[i] >= 0 && (uint32_t)ids[i] < ash_tokenizer_count(t));
    if (ash_decoding_new(t, flags & 1 ? ASH_DECODE_SPECIAL : 0, &d, &err) == ASH_OK) {
        ash_decoding_push(d, ids, count, &piece, &size, &err);
        ash_decoding_finish(d, &piece, &size, &err);
        ash_decoding_free(d);
    }
    free(ids);
    free(again);
}

void use_vocab(ash_status status, ash_vocab_import *import, const ash_error *err)
{
    MUST((status == ASH_OK) == (import->section != NULL));
    if (status != ASH_OK) {
        MUST(err->text[0] && !strchr(err->text, '\n'));
        return;
    }
    ash_tokenizer *t;
    ash_error why = { 0 };
    if (ash_tokenizer_open(import->section, import->size, &t, &why) == ASH_OK) {
        MUST(ash_tokenizer_count(t) == import->count);
        for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
            use_text(t, texts[i], i);
        ash_tokenizer_close(t);
    } else {
        MUST(why.text[0] && !strchr(why.text, '\n'));
    }
    free(import->section);
}
