/* Calibrated quantization of a whole model: runs it layer by layer, float and quantized side by side, over a text, and
 * hands every operation's inputs to quant/calibrate.h. Within a layer, too, each operation sees inputs that the
 * operations before it, already quantized, have made.
 *
 * Hidden states of all tokens (2 * tokens * hidden floats) and the finished rows (as large as the output) lie in an
 * unlinked temporary file next to the output, which the system writes out as memory runs short. In memory for certain:
 * the moments of one operation (quant/hessian.h) and one layer's finished matrices.
 */
#ifndef ASHLAR_COMMAND_CALIBRATOR_H
#define ASHLAR_COMMAND_CALIBRATOR_H

#include "runtime/command/windows.h"

typedef struct calibrator calibrator;

typedef struct calibrator_options {
    const char *model;  /* .ashlar: the float weights */
    bool unlink_model;  /* take its name away once it is open */
    const char *text;
    const char *beside; /* the temporary file goes into this path's folder */
    bool fp8_row;       /* FP8: a scale for each row */
    uint32_t tokens, threads; /* threads 0: all processors */
    /* The type that a matrix shall get; roles as members have them (Q, not QKV). Types that cannot be calibrated are
     * left to the converter. */
    uint32_t (*type_of)(void *context, uint32_t role, uint32_t layer);
    void *context;
} calibrator_options;

/* NULL with the error printed. */
calibrator *calibrate_model(const calibrator_options *options);
/* For ash_convert_guide.encoded. */
const uint8_t *calibrator_row(void *calibrator, uint32_t role, uint32_t layer, uint64_t row, uint32_t dtype);
/* For ash_convert_guide.scales. */
bool calibrator_scales(void *calibrator, uint32_t role, uint32_t layer, const float **weight, float *input);
/* "xxh3-128 HASH, N tokens": of the text. Lives as long as the calibrator. */
const char *calibrator_summary(const calibrator *c);
void calibrator_free(calibrator *c); /* NULL is fine */

#endif
