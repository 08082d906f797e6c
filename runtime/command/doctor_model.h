/* Small random models that doctor runs on the card and on the CPU: together they meet every kernel. */
#ifndef ASHLAR_COMMAND_DOCTOR_MODEL_H
#define ASHLAR_COMMAND_DOCTOR_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/status.h"
#include "runtime/ashlar.h"

typedef struct doctor_model {
    const char *type;      /* as convert --type has it */
    bool fp8_row;          /* FP8: a scale for each row */
    uint32_t head_dim;
    int cache;             /* of ashlar_session_options */
    const char *rule;      /* for one tensor, as convert --tensor has it; or NULL */
} doctor_model;

#define DOCTOR_CONTEXT 256
#define DOCTOR_VOCAB 1000 /* no multiple of 16: padding takes part */

const doctor_model *doctor_models(size_t *count);
/* Writes a checkpoint to `folder`, which exists, converts it, and loads what comes out. Files stay in the folder; the same model
 * gives the same bytes. */
ash_status doctor_model_open(const doctor_model *m, const char *folder, ashlar_model **out, ash_error *err);

#endif
