/* What a model's configuration says: config.json and its companions, or GGUF keys. Values are checked on their own
 * (ash_hparams_check) and then, by the plan, against the shapes of the tensors. */
#ifndef ASHLAR_CONVERT_IMPORT_H
#define ASHLAR_CONVERT_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "convert/arch.h"
#include "convert/source.h"
#include "convert/tokenizer.h"
#include "format/json.h"
#include "format/meta.h"
#include "format/status.h"

typedef enum ash_said { ASH_SAID_NOTHING, ASH_SAID_NO, ASH_SAID_YES } ash_said;

typedef struct ash_import {
    const ash_arch *arch;
    /* vocab of a GGUF, tied_output, qkv_bias and qk_norm follow from the tensors: the plan sets them. */
    ash_hparams h;
    ash_row_order row_order;  /* of q and k in the source */
    ash_said tied;            /* tie_word_embeddings */
    ash_said attention_bias;
    bool fp8;                 /* the configuration describes FP8 weights that can be used */
    /* Their inputs pass through e4m3: with a stored scale, with a scale of each token's own; neither: they do not. */
    bool fp8_static, fp8_dynamic;
    char *name;               /* the model's, or NULL; free() */
    char *chat_template;      /* or NULL; free() */
    char *tool_template;      /* what takes its place where there are tools, or NULL; free() */
    uint32_t templates_left_out;
} ash_import;

void ash_import_free(ash_import *import); /* zeroed is fine; zeroes it */

/* folder/config.json to everything but the chat templates. Errors name config.json and the key. */
ash_status ash_import_hf(const ash_source *source, ash_import *out, ash_error *err);
/* Likewise from GGUF keys, chat templates included. */
ash_status ash_import_gguf(const ash_source *source, ash_import *out, ash_error *err);

/* From an .ashlar: everything but names and template; then META, but for h, source kind and provenance; then TOKN. */
ash_status ash_import_ashlar(const ash_source *source, ash_import *out, ash_error *err);
ash_status ash_import_ashlar_meta(const ash_source *source, ash_meta *out, ash_error *err);
ash_status ash_import_ashlar_tokenizer(const ash_source *source, ash_vocab_import *out, ash_error *err);

/* quantization_config of config.json: what of it can be used, else ASH_E_UNSUPPORTED by name. */
ash_status ash_import_hf_quantization(const cJSON *config, ash_import *out, ash_error *err);

/* The templates of chat_template.jinja and additional_chat_templates/, else of tokenizer_config.json, else of
 * chat_template.json; which of several are "default" and "tool_use", others are counted as left out. */
ash_status ash_import_hf_templates(const char *folder, ash_import *import, ash_error *err);
ash_status ash_import_gguf_templates(const ash_gguf *g, ash_import *import, ash_error *err);

/* Fills bos, add_bos, pad and the stop ids: the union of config.json's and generation_config.json's eos_token_id (a
 * number or a list), the tokenizer's own eos, GGUF's eos, eot and eom, the tokens of a GGUF that llama.cpp counts as
 * ends of generation by their spelling, and the end-of-turn tokens that the chat template writes. `vocab` may have no
 * section; meta->h is filled in before. */
ash_status ash_import_special_ids(const ash_source *source, const ash_import *import, const ash_vocab_import *vocab,
                                  ash_meta *meta, ash_error *err);

#endif
