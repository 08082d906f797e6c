/* What an .ashlar file brings besides weights: hyperparameters, tokenizer and the rest of META, as they are. */
#include <stdlib.h>
#include <string.h>

#include "convert/import.h"

ash_status ash_import_ashlar(const ash_source *s, ash_import *out, ash_error *err)
{
    *out = (ash_import){ .arch = ash_arch_find(s->meta.h.architecture), .h = s->meta.h,
                         .tied = s->meta.h.tied_output ? ASH_SAID_YES : ASH_SAID_NO, .fp8 = true };
    if (!out->arch)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: architecture %s is not supported; %s are", s->path,
                        s->meta.h.architecture, ash_arch_names());
    out->row_order = s->kind == ASH_SOURCE_HF ? ASH_ROWS_HALVES : out->arch->gguf_rows;
    return ASH_OK;
}

static bool copy_text(char **to, const char *from) { return !from || (*to = strdup(from)) != NULL; }

ash_status ash_import_ashlar_meta(const ash_source *s, ash_meta *out, ash_error *err)
{
    const ash_meta *from = &s->meta;
    out->bos = from->bos;
    out->add_bos = from->add_bos;
    out->pad = from->pad;
    out->stop_count = from->stop_count;
    memcpy(out->stop, from->stop, sizeof out->stop);
    if (copy_text(&out->name, from->name) && copy_text(&out->chat_template, from->chat_template) &&
        copy_text(&out->tool_template, from->tool_template))
        return ASH_OK;
    return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", s->path);
}

ash_status ash_import_ashlar_tokenizer(const ash_source *s, ash_vocab_import *out, ash_error *err)
{
    if (!ash_file_section(s->ashlar, ASH_SECTION_TOKENIZER))
        return ASH_OK;
    return ash_file_section_read(s->ashlar, ASH_SECTION_TOKENIZER, &out->section, &out->size, err);
}
