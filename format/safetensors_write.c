#include "format/safetensors_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/json.h"

#define HEADER_MAX ((size_t)100000000) /* what readers take */
#define HEADER_ALIGN 8                 /* spaces fill the header up, so that the data is aligned */

struct ash_safetensors_writer {
    ash_output *out;
    uint64_t left; /* bytes of data that are still to come */
};

/* {"__metadata__":{"format":"pt"},"NAME":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},...}; transformers wants
 * the format. */
static ash_status write_header(FILE *f, const ash_st_tensor *tensors, uint32_t count, uint64_t *data, ash_error *err)
{
    *data = 0;
    fputs("{\"__metadata__\":{\"format\":\"pt\"}", f);
    for (uint32_t i = 0; i < count; i++) {
        const ash_st_tensor *t = &tensors[i];
        const char *type = ash_dtype_find(t->dtype)->safetensors;
        uint64_t end;
        if (!type)
            return ash_fail(err, ASH_E_UNSUPPORTED, "tensor %s is %s, which safetensors does not have", t->name,
                            ash_dtype_name(t->dtype));
        if (!ash_add(*data, t->size, &end) || end > INT64_MAX)
            return ash_fail(err, ASH_E_LIMIT, "tensor %s: the file would be too large", t->name);
        fputc(',', f);
        ash_json_put_string(f, t->name, strlen(t->name));
        fprintf(f, ":{\"dtype\":\"%s\",\"shape\":[", type);
        for (uint32_t d = 0; d < t->dim_count; d++)
            fprintf(f, "%s%" PRIu64, d ? "," : "", t->shape[d]);
        fprintf(f, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", *data, end);
        *data = end;
    }
    fputc('}', f);
    for (long at = ftell(f); at % HEADER_ALIGN != 0; at++)
        fputc(' ', f);
    return ASH_OK;
}

static ash_status start(ash_safetensors_writer *w, const char *path, bool replace, const char *header, size_t size,
                        ash_error *err)
{
    if (size > HEADER_MAX)
        return ash_fail(err, ASH_E_LIMIT, "%s: the header would have %zu bytes, readers take %zu", path, size,
                        HEADER_MAX);
    uint64_t length = size;
    ASH_TRY(ash_output_create(path, replace, &w->out, err));
    ASH_TRY(ash_output_append(w->out, &length, sizeof length, err));
    return ash_output_append(w->out, header, size, err);
}

ash_status ash_safetensors_writer_create(const char *path, bool replace, const ash_st_tensor *tensors, uint32_t count,
                                         ash_safetensors_writer **out, ash_error *err)
{
    *out = NULL;
    char *header = NULL;
    size_t size = 0;
    ash_safetensors_writer *w = calloc(1, sizeof *w);
    FILE *f = w ? open_memstream(&header, &size) : NULL;
    ash_status status = f ? write_header(f, tensors, count, &w->left, err) : ASH_OK;
    bool written = f && !ferror(f);
    if (f)
        written &= fclose(f) == 0;
    if (status == ASH_OK)
        status = written ? start(w, path, replace, header, size, err)
                         : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", path);
    free(header);
    if (status != ASH_OK)
        ash_safetensors_writer_abort(w);
    else
        *out = w;
    return status;
}

ash_status ash_safetensors_writer_put(ash_safetensors_writer *w, const void *bytes, size_t size, ash_error *err)
{
    if (size > w->left)
        return ash_fail(err, ASH_E_ARGUMENT, "%zu bytes come after the last safetensors tensor is complete",
                        size - (size_t)w->left);
    w->left -= size;
    return ash_output_append(w->out, bytes, size, err);
}

ash_status ash_safetensors_writer_finish(ash_safetensors_writer *w, ash_error *err)
{
    if (w->left != 0) {
        ash_status status = ash_fail(err, ASH_E_ARGUMENT, "%" PRIu64 " bytes of safetensors data were not written",
                                     w->left);
        ash_safetensors_writer_abort(w);
        return status;
    }
    ash_status status = ash_output_commit(w->out, err);
    free(w);
    return status;
}

void ash_safetensors_writer_abort(ash_safetensors_writer *w)
{
    if (!w)
        return;
    ash_output_abort(w->out);
    free(w);
}
