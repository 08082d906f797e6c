/* Any bytes as the key-values of a GGUF: what its vocabulary imports to opens, encodes and decodes. */
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "tests/support/use_vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* of exactly this size, so that ASan guards its end */
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    ash_error err = { 0 };
    ash_gguf *g;
    if (ash_gguf_open_kv(copy, size, &g, &err) == ASH_OK) {
        ash_vocab_import import;
        ash_status status = ash_import_tokenizer_gguf(g, &import, &err);
        ash_gguf_close(g);
        if (status != ASH_OK || import.section)
            use_vocab(status, &import, &err);
    }
    free(copy);
    return 0;
}
