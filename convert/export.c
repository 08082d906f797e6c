/* What every export begins and ends with: reading the .ashlar, and letting it go. */
#include "convert/export_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "convert/note.h"

void ash_export_note(const ash_export *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ash_note(e->options->note, e->options->context, format, args);
    va_end(args);
}

ash_status ash_export_open(ash_export *e, const char *path, const char *output, const ash_export_options *options,
                           ash_error *err)
{
    static const ash_export_options defaults;
    *e = (ash_export){ .path = path, .options = options ? options : &defaults };
    ash_kernels_init(&e->kernels, ASH_LEVEL_COUNT - 1);
    ASH_TRY(ash_file_open(path, &e->file, err));
    e->from_gguf = ash_file_section(e->file, ASH_SECTION_GGUF_KV) != NULL;
    struct stat in, out;
    if (stat(path, &in) == 0 && stat(output, &out) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: is the source itself; choose another name for the output", output);
    return ASH_OK;
}

ash_status ash_export_meta(ash_export *e, ash_error *err)
{
    uint8_t *json = NULL;
    size_t size;
    ASH_TRY(ash_file_section_read(e->file, ASH_SECTION_META, &json, &size, err));
    ash_status status = ash_meta_read((const char *)json, size, &e->meta, err);
    free(json);
    if (status != ASH_OK)
        return ash_fail_in(err, e->path);
    e->arch = ash_arch_find(e->meta.h.architecture);
    if (!e->arch)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: architecture %s cannot be exported; %s can", e->path,
                        e->meta.h.architecture, ash_arch_names());
    if (!ash_file_section(e->file, ASH_SECTION_TOKENIZER))
        return ASH_OK;
    ASH_TRY(ash_file_section_read(e->file, ASH_SECTION_TOKENIZER, &e->tokenizer, &size, err));
    return ash_vocab_open(e->tokenizer, size, &e->vocab, err) == ASH_OK ? ASH_OK : ash_fail_in(err, e->path);
}

void ash_export_release(ash_export *e)
{
    for (uint32_t i = 0; i < e->count; i++)
        free(e->items[i].name);
    free(e->items);
    free(e->tokenizer);
    ash_meta_free(&e->meta);
    ash_file_close(e->file);
}

/* ---- the plan ---- */

static int compare_items(const void *a, const void *b)
{
    uint64_t x = ((const ash_export_item *)a)->order, y = ((const ash_export_item *)b)->order;
    return (x > y) - (x < y);
}

ash_status ash_export_collect(ash_export *e, ash_export_add_fn *add, void *context, ash_error *err)
{
    uint32_t tensors = ash_file_tensor_count(e->file), members = 0;
    for (uint32_t i = 0; i < tensors; i++)
        members += ash_file_tensor(e->file, i)->member_count; /* at most those of MEMB: no wrap */
    e->items = calloc((size_t)members * ASH_EXPORT_ITEMS_A_MEMBER + 1, sizeof *e->items);
    if (!e->items)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    for (uint32_t i = 0; i < tensors; i++) {
        const ash_tensor_record *t = ash_file_tensor(e->file, i);
        for (uint32_t m = 0; m < t->member_count; m++)
            ASH_TRY(add(e, t, ash_file_member(e->file, t->member_first + m), context, err));
    }
    qsort(e->items, e->count, sizeof *e->items, compare_items);
    for (uint32_t i = 1; i < e->count; i++)
        if (e->items[i].order == e->items[i - 1].order)
            return ash_fail(err, ASH_E_FORMAT, "%s: tensors %s and %s have the same place in the source", e->path,
                            e->items[i - 1].source_name, e->items[i].source_name);
    return ASH_OK;
}
