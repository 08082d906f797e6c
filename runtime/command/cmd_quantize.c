/* ashlar quantize: an .ashlar file to one with other types. */
#include "runtime/command/conversion.h"

int verb_quantize(int argc, char **argv)
{
    const char *source;
    conversion_request r = { CONVERSION_DEFAULTS };
    const option options[] = { CONVERSION_OPTIONS(r) };
    static const usage u = { "quantize", "IN.ashlar -o OUT.ashlar --type TYPE",
                             "Writes an .ashlar file whose matrices have other types; all else is carried over.",
                             "IN may be whatever 'ashlar convert' reads too. What is quantized already is quantized again,\n"
                             "and the errors add up: an unquantized source gives a better file.\n"
                             CONVERSION_NOTES, 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &source, &code))
        return code;
    if (!r.type && r.tensors.count == 0)
        return usage_error(&u, "--type TYPE is missing");
    r.type = r.type ? r.type : "keep";
    return conversion_run(&u, &r, source);
}
