/* ashlar convert: a source model to an .ashlar file. */
#include <string.h>

#include "quant/calibrate.h"
#include "runtime/command/guide.h"

static void print_types(const ash_convert_result *r)
{
    char size[32], count[32];
    for (uint32_t t = 0; t < ASH_DTYPE_COUNT; t++)
        if (r->by_type[t].tensors)
            fprintf(stderr, "  %-8s %5u tensors  %8s weights  %9s  %.2f bits a weight\n", ash_dtype_name(t),
                    r->by_type[t].tensors, count_text(r->by_type[t].elements, count), bytes_text(r->by_type[t].bytes, size),
                    r->by_type[t].elements ? 8.0 * (double)r->by_type[t].bytes / (double)r->by_type[t].elements : 0);
}

static uint32_t one_type(void *context, uint32_t role, uint32_t layer)
{
    (void)role, (void)layer;
    return *(const uint32_t *)context;
}

int verb_convert(int argc, char **argv)
{
    const char *source, *output = NULL, *type = "keep";
    guide g = GUIDE_DEFAULTS;
    bool dry_run = false, force = false;
    uint32_t threads = 0;
    const option options[] = {
        { "-o", "OUT.ashlar", OPTION_STRING, &output, 0, 0, "the file to write" },
        { "--type", "TYPE", OPTION_STRING, &type, 0, 0, "keep, or the type of every matrix: f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1, q4_0" },
        GUIDE_OPTIONS(g),
        { "--dry-run", NULL, OPTION_FLAG, &dry_run, 0, 0, "check everything and print sizes; write nothing" },
        { "--force", NULL, OPTION_FLAG, &force, 0, 0, "replace OUT when it exists" },
        { "--threads", "N", OPTION_U32, &threads, 1, 1024, "threads; default: all processors" },
    };
    static const usage u = { "convert", "SRC -o OUT.ashlar",
                             "Repacks a Hugging Face folder (safetensors) or a GGUF file into an .ashlar file.",
                             "SRC: a model folder, its index or safetensors file, or a .gguf (any part of a split one).\n"
                             "With --type keep no weight changes: 'ashlar export' gives the same tensor bytes back.", 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &source, &code))
        return code;
    if (!output && !dry_run)
        return usage_error(&u, "-o OUT.ashlar is missing");
    uint32_t dtype = strcmp(type, "keep") == 0 ? ASH_TYPE_KEEP : (uint32_t)ash_dtype_from_name(type);
    if (dtype == ASH_TYPE_KEEP && strcmp(type, "keep") != 0)
        return usage_error(&u, "--type %s is not known", type);
    if (g.text_path && !ash_calibratable(dtype))
        return usage_error(&u, "--calibrate works with --type q4_k, q5_k and q6_k");

    progress p;
    handle_interrupt();
    progress_start(&p, "convert");
    ash_convert_options opts = { .type = dtype, .dry_run = dry_run, .force = force, .threads = threads,
                                 .progress = progress_update, .note = progress_note, .context = &p };
    if (!guide_open(&g, source, output, &opts, one_type, &dtype)) {
        guide_close(&g);
        return EXIT_FAILED;
    }
    opts.guide = &g.convert;
    progress_start(&p, "convert");
    ash_convert_result result = { 0 };
    ash_error err;
    ash_status status = ash_convert(source, output, &opts, &result, &err);
    progress_end(&p);
    guide_close(&g);
    if (status != ASH_OK)
        return fail_with(&err);
    char in[32], out[32], rate[32];
    double spent = seconds_now() - p.started;
    bytes_text(result.source_bytes, in), bytes_text(result.output_bytes, out);
    if (dry_run) {
        fprintf(stderr, "%s: %s in, %s out; nothing written\n", source, in, out);
    } else {
        fprintf(stderr, "wrote %s: %s from %s in %.1f s (%s/s)\n", output, out, in, spent,
                bytes_text((uint64_t)((double)result.source_bytes / (spent > 0 ? spent : 1)), rate));
    }
    print_types(&result);
    return EXIT_OK;
}
