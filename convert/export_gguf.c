/* An .ashlar file to a GGUF: the one that it came from, byte for byte, or, from a Hugging Face checkpoint, the one that
 * llama.cpp's converter would write. */
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "convert/export_internal.h"

#define GGUF_VERSION 3
#define GGUF_ALIGNMENT 32 /* the default, which no key needs to say */

/* ---- reading ---- */

static ash_status read_pairs(ash_export *e, ash_error *err)
{
    size_t size;
    ASH_TRY(ash_file_section_read(e->file, ASH_SECTION_GGUF_KV, &e->pairs, &size, err));
    return ash_gguf_open_kv(e->pairs, size, &e->source, err) == ASH_OK ? ASH_OK : ash_fail_in(err, e->path);
}

static ash_status read_meta(ash_export *e, ash_error *err)
{
    ASH_TRY(ash_export_meta(e, err));
    return e->tokenizer ? ASH_OK
                        : ash_fail(err, ASH_E_UNSUPPORTED, "%s: has no tokenizer, which llama.cpp needs", e->path);
}

/* ---- writing ---- */

/* The source's own pairs. general.file_type names the type of most matrices: where they were given another type it must
 * be theirs. */
static ash_status put_pairs(ash_export *e, ash_error *err)
{
    uint64_t count = ash_gguf_kv_count(e->source);
    for (uint64_t i = 0; i < count; i++) {
        const ash_gguf_kv *kv = ash_gguf_kv_at(e->source, i);
        static const char key[] = "general.file_type";
        uint32_t type;
        if (e->retyped && kv->key.size == sizeof key - 1 && memcmp(kv->key.text, key, sizeof key - 1) == 0) {
            if (ash_export_file_type(e, &type))
                ASH_TRY(ash_gguf_writer_kv_u32(e->gguf, key, type, err));
            continue;
        }
        ASH_TRY(ash_gguf_writer_kv_raw(e->gguf, kv->record, (size_t)kv->record_size, err));
    }
    return ASH_OK;
}

/* Bytes of the file, roughly from above: key-values made from TOKN are not much more than TOKN itself. */
static uint64_t output_bytes(const ash_export *e)
{
    uint64_t pairs = (uint64_t)1 << 20;
    if (e->source)
        for (uint64_t i = 0; i < ash_gguf_kv_count(e->source); i++)
            pairs += ash_gguf_kv_at(e->source, i)->record_size;
    else
        pairs += e->vocab.header->section_bytes;
    return e->total + pairs;
}

static ash_status write_all(ash_export *e, const char *output, ash_error *err)
{
    ASH_TRY(ash_check_space(output, output_bytes(e), err));
    ASH_TRY(ash_gguf_writer_create(output, e->options->force, e->source ? ash_gguf_version(e->source) : GGUF_VERSION,
                                   e->source ? ash_gguf_alignment(e->source) : GGUF_ALIGNMENT, &e->gguf, err));
    if (e->source) {
        ASH_TRY(put_pairs(e, err));
    } else {
        ASH_TRY(ash_export_keys(e, err));
        ASH_TRY(ash_export_vocab(e, err));
    }
    for (uint32_t i = 0; i < e->count; i++) {
        const ash_export_item *item = &e->items[i];
        ASH_TRY(ash_gguf_writer_tensor(e->gguf, item->name, item->type, item->member.source_dim_count,
                                       item->member.source_dims, err));
    }
    for (uint32_t i = 0; i < e->count; i++)
        ASH_TRY(ash_export_data(e, &e->items[i], err));
    ash_gguf_writer *w = e->gguf;
    e->gguf = NULL; /* finish frees it in any case */
    return ash_gguf_writer_finish(w, err);
}

static ash_status export(ash_export *e, const char *output, ash_error *err)
{
    ASH_TRY(e->from_gguf ? read_pairs(e, err) : read_meta(e, err));
    ASH_TRY(ash_export_plan(e, err));
    return write_all(e, output, err);
}

ash_status ash_export_gguf(const char *ashlar_path, const char *output, const ash_export_options *options,
                           ash_error *err)
{
    ash_export e;
    ash_status status = ash_export_open(&e, ashlar_path, output, options, err);
    if (status == ASH_OK)
        status = export(&e, output, err);
    ash_gguf_writer_abort(e.gguf);
    if (e.source)
        ash_gguf_close(e.source);
    free(e.pairs);
    ash_export_release(&e);
    return status;
}
