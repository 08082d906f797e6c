/* Any bytes as tokenizer.model: what imports opens, encodes and decodes. */
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
    ash_vocab_import import;
    ash_status status = ash_import_tokenizer_model_bytes(copy, size, NULL, NULL, NULL, &import, &err);
    free(copy);
    use_vocab(status, &import, &err);
    return 0;
}
