#include "convert/convert.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/import.h"
#include "convert/plan.h"
#include "convert/provenance.h"
#include "convert/rows.h"
#include "convert/source.h"
#include "convert/stream.h"
#include "convert/tokenizer.h"
#include "format/checked.h"
#include "format/gguf.h"
#include "format/writer.h"

/* Everything that one conversion holds. */
typedef struct conversion {
    const ash_convert_options *options;
    ash_recipe recipe;
    const char *output;
    ash_source source;
    ash_import import;
    ash_vocab_import vocab;
    ash_plan plan;
    ash_meta meta;
    ash_writer *writer;
} conversion;

static void note(const conversion *c, const char *line)
{
    if (c->options->note)
        c->options->note(c->options->context, line);
}

/* ---- before anything is written ---- */

static ash_status read_configuration(conversion *c, ash_error *err)
{
    if (c->source.ashlar)
        return ash_import_ashlar(&c->source, &c->import, err);
    if (c->source.kind == ASH_SOURCE_GGUF)
        return ash_import_gguf(&c->source, &c->import, err);
    ASH_TRY(ash_import_hf(&c->source, &c->import, err));
    return ash_import_hf_templates(c->source.folder, &c->import, err);
}

static ash_status read_tokenizer(conversion *c, ash_error *err)
{
    if (c->source.ashlar)
        ASH_TRY(ash_import_ashlar_tokenizer(&c->source, &c->vocab, err));
    else if (c->source.kind == ASH_SOURCE_HF)
        ASH_TRY(ash_import_tokenizer_hf(c->source.folder, &c->vocab, err));
    else if (ash_import_tokenizer_gguf(c->source.gguf, &c->vocab, err) != ASH_OK)
        return ash_fail_in(err, c->source.path);
    if (!c->vocab.section)
        note(c, "the source has no tokenizer: the output takes and gives token ids alone");
    else if (c->vocab.count > c->import.h.vocab)
        note(c, "the tokenizer has more tokens than the embedding has rows: the last ones cannot be used");
    return ASH_OK;
}

/* Takes name and template over from the import. */
static ash_status take_words(conversion *c, ash_error *err)
{
    ASH_TRY(ash_import_special_ids(&c->source, &c->import, &c->vocab, &c->meta, err));
    if (c->import.name && !ash_text_is_utf8(c->import.name))
        free(c->import.name), c->import.name = NULL; /* JSON could not hold it, and it is a label alone */
    c->meta.name = c->import.name;
    c->meta.chat_template = c->import.chat_template;
    c->meta.tool_template = c->import.tool_template;
    c->import.name = c->import.chat_template = c->import.tool_template = NULL;
    if (c->import.templates_left_out)
        note(c, "the source has more chat templates than the default one and the one for tools: they are left out");
    return ASH_OK;
}

static ash_status build_meta(conversion *c, ash_error *err)
{
    c->meta.h = c->import.h;
    if (c->source.ashlar)
        ASH_TRY(ash_import_ashlar_meta(&c->source, &c->meta, err));
    else
        ASH_TRY(take_words(c, err));
    c->meta.source_kind = strdup(c->source.kind == ASH_SOURCE_GGUF ? "gguf" : "hf");
    if (!c->meta.source_kind)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", c->source.path);
    const ash_convert_guide *guide = c->options->guide;
    return ash_provenance(&c->source, &c->recipe, guide ? guide->provenance : NULL, &c->meta.provenance, err);
}

static ash_status prepare(conversion *c, const char *source, ash_error *err)
{
    ASH_TRY(ash_source_open(source, &c->source, err));
    ASH_TRY(read_configuration(c, err));
    ASH_TRY(ash_plan_build(&c->source, &c->import, &c->recipe, c->options->guide, c->options->note,
                           c->options->context, &c->plan, err));
    ASH_TRY(read_tokenizer(c, err));
    return build_meta(c, err);
}

/* The output must not be a file that is being read: with --force it would be replaced by its own conversion. */
static ash_status check_not_a_source(const conversion *c, ash_error *err)
{
    struct stat out, in;
    if (!c->output || stat(c->output, &out) != 0)
        return ASH_OK;
    for (uint32_t i = 0; i < c->source.file_count; i++)
        if (fstat(ash_source_file(&c->source, i)->fd, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
            return ash_fail(err, ASH_E_ARGUMENT, "%s: is the source itself; choose another name for the output",
                            c->output);
    if (!c->options->force)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: already exists; use --force to replace it", c->output);
    return ASH_OK;
}

/* Bytes of the sections behind the data, at most: uncompressed. */
static uint64_t rest_bytes(const conversion *c)
{
    uint64_t pairs = 0;
    if (c->source.gguf)
        for (uint64_t i = 0; i < ash_gguf_kv_count(c->source.gguf); i++)
            pairs += ash_gguf_kv_at(c->source.gguf, i)->record_size;
    const ash_section_record *old = c->source.ashlar ? ash_file_section(c->source.ashlar, ASH_SECTION_GGUF_KV) : NULL;
    pairs = old ? old->raw_size : pairs;
    return c->vocab.size + pairs + ((uint64_t)4 << 20) + c->plan.output_bytes / ASH_DATA_CHUNK_BYTES * sizeof(ash_hash128);
}

/* ---- writing ---- */

static ash_status add_directory(conversion *c, ash_error *err)
{
    for (uint32_t i = 0; i < c->plan.tensor_count; i++) {
        const ash_plan_tensor *t = &c->plan.tensors[i];
        ASH_TRY(ash_writer_add_tensor(c->writer, t->name, &t->record, NULL, err));
        for (uint32_t m = 0; m < t->member_count; m++) {
            const ash_plan_member *member = &c->plan.members[t->member_first + m];
            ASH_TRY(ash_writer_add_member(c->writer, member->source->name, &member->record, err));
        }
    }
    return ash_writer_layout(c->writer, NULL, err);
}

static ash_status add_sections(conversion *c, ash_error *err)
{
    if (c->vocab.section)
        ASH_TRY(ash_writer_add_section(c->writer, ASH_SECTION_TOKENIZER, c->vocab.section, c->vocab.size, false, err));
    char *json = NULL;
    size_t size;
    if (ash_meta_write(&c->meta, &json, &size, err) != ASH_OK)
        return ash_fail_in(err, c->source.path);
    ash_status status = ash_writer_add_section(c->writer, ASH_SECTION_META, json, size, true, err);
    free(json);
    bool old = c->source.ashlar && ash_file_section(c->source.ashlar, ASH_SECTION_GGUF_KV);
    if (status != ASH_OK || (!c->source.gguf && !old))
        return status;
    uint8_t *pairs = NULL;
    if (old)
        ASH_TRY(ash_file_section_read(c->source.ashlar, ASH_SECTION_GGUF_KV, &pairs, &size, err));
    else
        ASH_TRY(ash_gguf_kv_bytes(c->source.gguf, &pairs, &size, err));
    status = ash_writer_add_section(c->writer, ASH_SECTION_GGUF_KV, pairs, size, true, err);
    free(pairs);
    return status;
}

static uint32_t thread_count(uint32_t wanted)
{
    long there = sysconf(_SC_NPROCESSORS_ONLN);
    return wanted ? wanted : there > 1 ? (uint32_t)there : 1;
}

static ash_status write_file(conversion *c, uint64_t *file_bytes, ash_error *err)
{
    ASH_TRY(ash_check_space(c->output, c->plan.output_bytes + rest_bytes(c), err));
    /* A damaged .ashlar must not come out with new checksums. */
    if (c->source.ashlar)
        ASH_TRY(ash_file_verify(c->source.ashlar, NULL, NULL, err));
    ASH_TRY(ash_choose_scales(&c->source, &c->plan, thread_count(c->options->threads), c->options->levels,
                              c->options->progress, c->options->context,
                              c->plan.search_bytes + c->plan.source_bytes, err));
    ASH_TRY(ash_writer_create(c->output, c->options->force, &c->writer, err));
    if (c->options->begin)
        c->options->begin(c->options->context, c->plan.output_bytes);
    if (add_directory(c, err) != ASH_OK)
        return ash_fail_in(err, c->source.path);
    ash_convert_stream how = { thread_count(c->options->threads), c->options->levels, c->options->guide };
    ASH_TRY(ash_stream(&c->source, &c->plan, c->writer, &how,
                       c->options->progress, c->options->context, err));
    ASH_TRY(add_sections(c, err));
    ash_writer *w = c->writer;
    c->writer = NULL; /* finish frees it in any case */
    return ash_writer_finish(w, file_bytes, err);
}

/* ---- the whole ---- */

static void fill_result(const conversion *c, uint64_t output_bytes, ash_convert_result *r)
{
    *r = (ash_convert_result){ .source_bytes = c->plan.source_bytes, .output_bytes = output_bytes,
                               .tensors = c->plan.tensor_count, .members = c->plan.member_count,
                               .raw_tensors = c->plan.raw_count };
    const ash_hparams *h = &c->import.h;
    r->kv_bytes = (uint64_t)2 * h->layers * h->kv_heads * h->head_dim * sizeof(uint16_t);
    r->context = h->context;
    r->window = h->sliding_window;
    for (uint32_t i = 0; i < c->plan.tensor_count; i++) {
        const ash_tensor_record *t = &c->plan.tensors[i].record;
        r->by_type[t->dtype].tensors++;
        r->by_type[t->dtype].bytes += t->size;
        r->by_type[t->dtype].elements += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        for (uint32_t m = 0; m < c->plan.tensors[i].member_count; m++) {
            r->by_type[t->dtype].lost += c->plan.members[c->plan.tensors[i].member_first + m].lost;
            r->by_type[t->dtype].energy += c->plan.members[c->plan.tensors[i].member_first + m].energy;
        }
    }
}

static void tell_matrices(const conversion *c)
{
    for (uint32_t i = 0; i < c->plan.tensor_count && c->options->matrix; i++) {
        const ash_plan_tensor *t = &c->plan.tensors[i];
        if (t->record.layout == ASH_LAYOUT_LINEAR)
            continue;
        for (uint32_t k = 0; k < t->member_count; k++) {
            const ash_plan_member *m = &c->plan.members[t->member_first + k];
            double bytes = (double)t->record.size;
            if (m->made)
                bytes += (double)c->plan.tensors[m->record.scale_weight].record.size;
            ash_convert_matrix told = {
                .name = m->source->name, .role = m->record.role, .layer = t->record.layer, .dtype = t->record.dtype,
                .kept = m->source->dtype == t->record.dtype, .elements = t->record.dims[0] * m->record.row_count,
                .bits = 8 * bytes / (double)(t->record.dims[0] * t->record.dims[1]),
                .error = m->energy > 0 ? sqrt(m->lost / m->energy) : 0,
            };
            c->options->matrix(c->options->context, &told);
        }
    }
}

static void release(conversion *c)
{
    ash_writer_abort(c->writer);
    ash_plan_free(&c->plan);
    ash_import_free(&c->import);
    ash_meta_free(&c->meta);
    free(c->vocab.section);
    ash_source_close(&c->source);
}

ash_status ash_convert(const char *source, const char *output, const ash_convert_options *options,
                       ash_convert_result *result, ash_error *err)
{
    static const ash_convert_options defaults = { .type = ASH_TYPE_KEEP };
    conversion c = { .options = options ? options : &defaults, .output = output };
    c.recipe = c.options->recipe ? *c.options->recipe : (ash_recipe){ .type = c.options->type };
    uint64_t file_bytes = 0;
    if (result)
        *result = (ash_convert_result){ 0 };
    if (!output && !c.options->dry_run)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: no output is named", source);
    ash_status status = prepare(&c, source, err);
    if (status == ASH_OK)
        status = check_not_a_source(&c, err);
    if (status == ASH_OK && c.options->dry_run)
        file_bytes = c.plan.output_bytes;
    else if (status == ASH_OK)
        status = write_file(&c, &file_bytes, err);
    if (status == ASH_OK)
        tell_matrices(&c);
    if (status == ASH_OK && result)
        fill_result(&c, file_bytes, result);
    release(&c);
    return status;
}
