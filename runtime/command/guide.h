/* What guides a quantization, from the options of a verb that writes quantized files: an importance matrix, or a text
 * to calibrate with. */
#ifndef ASHLAR_COMMAND_GUIDE_H
#define ASHLAR_COMMAND_GUIDE_H

#include "convert/convert.h"
#include "runtime/command/calibrator.h"

typedef struct guide {
    /* options, filled by the option table */
    const char *imatrix_path, *text_path;
    uint32_t tokens;
    /* opened */
    ash_convert_guide convert; /* for ash_convert_options.guide */
    ash_imatrix *imatrix;
    calibrator *calibration;
    struct guide_type { uint32_t role, layer, dtype; } *types; /* what each matrix will be */
    size_t type_count, type_room;
    char provenance[512];
} guide;

#define GUIDE_DEFAULTS { .tokens = 1u << 30 }
#define GUIDE_OPTIONS(g)                                                                                                \
    { "--imatrix", "FILE", OPTION_STRING, &(g).imatrix_path, 0, 0,                                                      \
      "importance of columns, from ashlar imatrix or llama-imatrix" },                                                  \
    { "--calibrate", "TEXT", OPTION_STRING, &(g).text_path, 0, 0,                                                       \
      "choose codes so that outputs on TEXT stay near the source's: q4_k, q5_k, q6_k, fp8" },                                \
    { "--calibrate-tokens", "N", OPTION_U32, &(g).tokens, 2, 1 << 30, "only the first N ids of TEXT" }

/* Reads the importance matrix; calibrates, which takes minutes and so is done after everything that `o` (without its
 * guide) asks for has been checked. Prints the error; returns the exit code. */
int guide_open(const usage *u, guide *g, const char *source, const char *output, const ash_convert_options *o);
void guide_close(guide *g);

#endif
