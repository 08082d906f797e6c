/* ashlar convert: a source model to an .ashlar file. */
#include "runtime/command/conversion.h"

int verb_convert(int argc, char **argv)
{
    const char *source;
    conversion_request r = { .type = "keep", CONVERSION_DEFAULTS };
    const option options[] = { CONVERSION_OPTIONS(r) };
    static const usage u = { "convert", "SRC -o OUT.ashlar",
                             "Repacks a Hugging Face folder (safetensors) or a GGUF file into an .ashlar file.",
                             "SRC: a model folder, its index or safetensors file, or a .gguf (any part of a split one).\n"
                             "With --type keep no weight changes: 'ashlar export' gives the same tensor bytes back.\n"
                             CONVERSION_NOTES, 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &source, &code))
        return code;
    return conversion_run(&u, &r, source);
}
