/* What convert and quantize share: options, the run itself with its bar, and what is told at the end. */
#ifndef ASHLAR_COMMAND_CONVERSION_H
#define ASHLAR_COMMAND_CONVERSION_H

#include "runtime/command/guide.h"

typedef struct conversion_request {
    const char *output, *type, *fp8_scale, *report;
    option_list tensors;
    guide guide;
    bool dry_run, force;
    uint32_t threads;
} conversion_request;

#define CONVERSION_DEFAULTS .fp8_scale = "tensor", .guide = GUIDE_DEFAULTS

/* Paste into the verb's table. */
#define CONVERSION_OPTIONS(r)                                                                                           \
    { "-o", "OUT.ashlar", OPTION_STRING, &(r).output, 0, 0, "the file to write" },                                      \
    { "--type", "TYPE", OPTION_STRING, &(r).type, 0, 0,                                                                 \
      "keep; a mix: q4_k_m, q4_k_s, q5_k_m, fp8; or the type of every matrix: f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, " \
      "q5_0, q4_k, q4_1, q4_0" },                                                                                       \
    { "--tensor", "PATTERN=TYPE", OPTION_LIST, &(r).tensors, 0, 0,                                                      \
      "another type for the matrices whose name matches; several times, the first that matches counts" },               \
    { "--fp8-scale", "KIND", OPTION_STRING, &(r).fp8_scale, 0, 0, "FP8: a scale for each tensor, or for each row" },    \
    GUIDE_OPTIONS((r).guide),                                                                                           \
    { "--report", "FILE.html", OPTION_STRING, &(r).report, 0, 0, "a page that shows the error of every matrix" },       \
    { "--dry-run", NULL, OPTION_FLAG, &(r).dry_run, 0, 0, "check everything, print sizes and what fits; write nothing" }, \
    { "--force", NULL, OPTION_FLAG, &(r).force, 0, 0, "replace OUT when it exists" },                                   \
    { "--threads", "N", OPTION_U32, &(r).threads, 1, 1024, "threads; default: all processors" }
#define CONVERSION_NOTES                                                                                                \
    "q4_k_m, q4_k_s and q5_k_m give more bits to the matrices that llama.cpp's mixes of these names give more.\n"       \
    "fp8: e4m3 with a scale, inputs in e4m3 with a scale of each token's own; embedding and output keep their type.\n"  \
    "PATTERN is a glob over a tensor's whole name, as the source, GGUF or Hugging Face spells it: 'blk.*.ffn_down.weight'."

/* Runs the request, prints, and returns the exit code. */
int conversion_run(const usage *u, conversion_request *r, const char *source);

#endif
