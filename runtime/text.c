/* The public calls on text and on what a model is. */
#include <stdlib.h>
#include <string.h>

#include "format/version.h"
#include "runtime/api.h"
#include "runtime/model.h"

const char *ashlar_version(void) { return ASHLAR_VERSION; }

int ash_public_error(const ash_error *from, ashlar_error *to)
{
    if (to) {
        to->status = (int)from->status;
        memcpy(to->text, from->text, sizeof to->text);
    }
    return (int)from->status;
}

void ashlar_free(void *p) { free(p); }

void ashlar_model_describe(const ashlar_model *model, ashlar_model_info *out)
{
    const ash_hparams *h = &model->meta.h;
    *out = (ashlar_model_info){
        .name = model->meta.name ? model->meta.name : "",
        .architecture = h->architecture,
        .file_bytes = ash_file_header(model->file)->file_bytes,
        .weight_bytes_per_token = model->token_bytes,
        .parameters = model->parameters,
        .multiply_adds_per_token = model->token_macs,
        .quantized = 2 * model->q_macs > model->token_macs,
        .layers = h->layers,
        .hidden = h->hidden,
        .heads = h->heads,
        .kv_heads = h->kv_heads,
        .head_dim = h->head_dim,
        .ffn = h->ffn,
        .vocab = h->vocab,
        .context_trained = h->context,
        .has_tokenizer = model->tokenizer != NULL,
        .has_chat_template = model->meta.chat_template != NULL,
    };
}

int ashlar_is_stop(const ashlar_model *model, int32_t id)
{
    for (uint32_t i = 0; i < model->meta.stop_count; i++)
        if (model->meta.stop[i] == id)
            return 1;
    return 0;
}

/* ---- tokens ---- */

ash_status ash_need_tokenizer(const ashlar_model *model, ash_error *err)
{
    if (model->tokenizer)
        return ASH_OK;
    return ash_fail(err, ASH_E_UNSUPPORTED, "%s holds no tokenizer: convert again from a source that has one",
                    ash_file_path(model->file));
}

static ash_status tokenize(const ashlar_model *model, const char *text, size_t bytes, unsigned flags, int32_t **ids,
                           size_t *count, ash_error *err)
{
    *ids = NULL;
    *count = 0;
    ASH_TRY(ash_need_tokenizer(model, err));
    unsigned encode = (flags & ASHLAR_TOKENIZE_BOS ? ASH_ENCODE_BOS : 0) |
                      (flags & ASHLAR_TOKENIZE_SPECIAL ? ASH_ENCODE_SPECIAL : 0) |
                      (flags & ASHLAR_TOKENIZE_EOS ? ASH_ENCODE_EOS : 0);
    return ash_tokenizer_encode(model->tokenizer, text, bytes, encode, ids, count, err);
}

int ashlar_tokenize(const ashlar_model *model, const char *text, size_t bytes, unsigned flags, int32_t **ids,
                    size_t *count, ashlar_error *err)
{
    ash_error local;
    return tokenize(model, text, bytes, flags, ids, count, &local) == ASH_OK ? ASHLAR_OK
                                                                             : ash_public_error(&local, err);
}

static ash_status decoding_new(const ashlar_model *model, unsigned flags, ash_decoding **out, ash_error *err)
{
    *out = NULL;
    ASH_TRY(ash_need_tokenizer(model, err));
    unsigned decode = (flags & ASHLAR_TOKENIZE_SPECIAL ? ASH_DECODE_SPECIAL : 0) |
                      (flags & ASHLAR_DETOKENIZE_CONTINUE ? ASH_DECODE_CONTINUE : 0);
    return ash_decoding_new(model->tokenizer, decode, out, err);
}

static ash_status detokenize(const ashlar_model *model, const int32_t *ids, size_t count, unsigned flags, char **text,
                             size_t *bytes, ash_error *err)
{
    ash_decoding *d;
    const char *part, *rest;
    size_t part_bytes, rest_bytes;
    *text = NULL;
    *bytes = 0;
    ASH_TRY(decoding_new(model, flags, &d, err));
    ash_status status = ash_decoding_push(d, ids, count, &part, &part_bytes, err);
    if (status == ASH_OK && !(*text = malloc(part_bytes + 1)))
        status = ash_fail(err, ASH_E_MEMORY, "out of memory for the text of %zu tokens", count);
    if (status == ASH_OK) {
        if (part_bytes != 0)
            memcpy(*text, part, part_bytes);
        status = ash_decoding_finish(d, &rest, &rest_bytes, err);
    }
    char *whole = status == ASH_OK ? realloc(*text, part_bytes + rest_bytes + 1) : NULL;
    if (status == ASH_OK && !whole)
        status = ash_fail(err, ASH_E_MEMORY, "out of memory for the text of %zu tokens", count);
    if (status == ASH_OK) {
        if (rest_bytes != 0)
            memcpy(whole + part_bytes, rest, rest_bytes);
        whole[part_bytes + rest_bytes] = 0;
        *text = whole;
        *bytes = part_bytes + rest_bytes;
    } else {
        free(*text);
        *text = NULL;
    }
    ash_decoding_free(d);
    return status;
}

int ashlar_detokenize(const ashlar_model *model, const int32_t *ids, size_t count, unsigned flags, char **text,
                      size_t *bytes, ashlar_error *err)
{
    ash_error local;
    return detokenize(model, ids, count, flags, text, bytes, &local) == ASH_OK ? ASHLAR_OK
                                                                               : ash_public_error(&local, err);
}

struct ashlar_detokenizer {
    ash_decoding *decoding;
};

int ashlar_detokenizer_new(const ashlar_model *model, unsigned flags, ashlar_detokenizer **out, ashlar_error *err)
{
    ash_error local;
    ashlar_detokenizer *d = *out = calloc(1, sizeof *d);
    ash_status status = d ? decoding_new(model, flags, &d->decoding, &local)
                          : ash_fail(&local, ASH_E_MEMORY, "out of memory for a detokenizer");
    if (status == ASH_OK)
        return ASHLAR_OK;
    free(d);
    *out = NULL;
    return ash_public_error(&local, err);
}

void ashlar_detokenizer_free(ashlar_detokenizer *detokenizer)
{
    if (!detokenizer)
        return;
    ash_decoding_free(detokenizer->decoding);
    free(detokenizer);
}

int ashlar_detokenizer_push(ashlar_detokenizer *detokenizer, int32_t id, const char **text, size_t *bytes,
                            ashlar_error *err)
{
    ash_error local;
    return ash_decoding_push(detokenizer->decoding, &id, 1, text, bytes, &local) == ASH_OK
               ? ASHLAR_OK
               : ash_public_error(&local, err);
}

int ashlar_detokenizer_finish(ashlar_detokenizer *detokenizer, const char **text, size_t *bytes, ashlar_error *err)
{
    ash_error local;
    return ash_decoding_finish(detokenizer->decoding, text, bytes, &local) == ASH_OK ? ASHLAR_OK
                                                                                     : ash_public_error(&local, err);
}
