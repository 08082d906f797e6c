/* Any bytes as tokenizer.json, with tokenizer_config.json behind a NUL: what imports opens, encodes and decodes. */
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/json.h"
#include "tests/support/use_vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size ? memchr(data, 0, size) : NULL;
    size_t first = cut ? (size_t)(cut - data) : size;
    ash_error err = { 0 };
    cJSON *root = NULL, *config = NULL;
    if (ash_json_parse((const char *)data, first, size, &root, &err) != ASH_OK)
        return 0;
    if (cut && ash_json_parse((const char *)cut + 1, size - first - 1, size, &config, &err) != ASH_OK)
        config = NULL;
    ash_vocab_import import;
    ash_status status = ash_import_tokenizer_json(root, config, &import, &err);
    cJSON_Delete(root);
    cJSON_Delete(config);
    use_vocab(status, &import, &err);
    return 0;
}
