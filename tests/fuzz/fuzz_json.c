/* Any bytes as JSON: no crash, no overread, and what is accepted keeps the promises of json.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const cJSON *item, int depth)
{
    if (depth > 64)
        abort();
    uint64_t value;
    if (ash_json_u64(item, &value) && value > (UINT64_C(1) << 53))
        abort();
    size_t i = 0;
    for (const cJSON *child = item->child; child; child = child->next, i++) {
        /* A lookup finds the first of equal keys: every member must find itself. */
        if (cJSON_IsObject(item) && i < 64 && ash_json_get(item, child->string) != child)
            abort();
        check(child, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that ASan guards its end. */
    char *text = malloc(size ? size : 1);
    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    ash_error err = { 0 };
    cJSON *json = NULL;
    ash_status status = ash_json_parse(text, size, size, &json, &err);
    if ((status == ASH_OK) != (json != NULL) || (status != ASH_OK && (err.text[0] == 0 || strchr(err.text, '\n'))))
        abort();
    if (json) {
        check(json, 0);
        /* What was accepted survives being printed and read again. */
        char *again = cJSON_PrintUnformatted(json);
        cJSON *second = NULL;
        if (again && ash_json_parse(again, strlen(again), SIZE_MAX, &second, &err) != ASH_OK)
            abort();
        cJSON_Delete(second);
        cJSON_free(again);
    }
    cJSON_Delete(json);
    free(text);
    return 0;
}
