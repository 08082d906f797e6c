#include "tests/support/rebuild_vocab.h"

#include <stdlib.h>

#include "convert/export_internal.h"
#include "convert/tokenizer_internal.h"

ash_status rebuild_vocab(ash_vocab_import *import, ash_error *err)
{
    ash_vocab v;
    char *text;
    const char *note;
    size_t size;
    assert_ok(ash_vocab_open(import->section, import->size, &v, err), err);
    ash_status status = ash_export_tokenizer(&v, &text, &size, &note, err);
    if (status == ASH_E_UNSUPPORTED)
        return status;
    assert_ok(status, err);
    cJSON *root, *config = cJSON_CreateObject();
    assert_true(ash_export_token_names(&v, config));
    free(import->section);
    assert_ok(ash_json_parse(text, size, (size_t)256 << 20, &root, err), err);
    assert_ok(ash_import_tokenizer_json(root, config, import, err), err);
    cJSON_Delete(root);
    cJSON_Delete(config);
    free(text);
    return ASH_OK;
}
