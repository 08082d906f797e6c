/* ashlar bench --tokenizer: how fast a model's tokenizer reads and writes text, on one thread. */
#include <stdlib.h>
#include <string.h>

#include "runtime/command/bench.h"

enum { REPEATS_MAX = 99, TEXT_BYTES = 1 << 20 };

/* Plain English, repeated up to TEXT_BYTES; a text of one's own (--text) meets more different words. */
static const char paragraph[] =
    "The harbour lay quiet when the last ferry of the evening came round the breakwater, two hours late and leaning a "
    "little to one side. Nobody on the quay seemed surprised. A boy sat on a coil of rope and counted the lights along "
    "the hill: thirty-one, then thirty, because somebody had gone to bed. \"She always does that in October,\" said "
    "the woman who sold tickets, and she didn't look up from her newspaper. What she meant was the wind, which turned "
    "north once the fields were cut and pushed everything that floated towards the mill. In 1987 it had taken the roof "
    "off the customs house; there was still a photograph of it in the window of the bakery, next to the prices.\n\n"
    "By half past nine the passengers had found their bags. There were fewer of them than in summer: a couple of "
    "students with bicycles, an engineer who would measure the bridge, three sisters on their way to a wedding, and a "
    "man with a crate of apples that he wouldn't let anyone carry. They walked up through the narrow streets together, "
    "as strangers do after a bad crossing, and told each other what they would eat if anything were open. It turned "
    "out that the kitchen of the old hotel was. The soup cost 4.50, the bread nothing, and the owner kept saying that "
    "the weather report had been wrong for 12 days in a row, which he seemed to hold against the engineer.\n\n";

static char *built_in(size_t *size)
{
    size_t n = sizeof paragraph - 1;
    *size = TEXT_BYTES / n * n;
    char *text = malloc(*size + 1);
    for (size_t at = 0; text && at < *size; at += n)
        memcpy(text + at, paragraph, n);
    return text;
}

static double median(double *values, size_t count)
{
    bench_sort(values, count);
    return bench_quantile(values, count, 0.5);
}

/* Seconds of encoding and of decoding, the median; *tokens of one encoding. */
static int measure(const ashlar_model *model, const char *text, size_t size, uint32_t repeats, double *encode_s,
                   double *decode_s, size_t *tokens, ashlar_error *err)
{
    double encodes[REPEATS_MAX], decodes[REPEATS_MAX];
    for (uint32_t r = 0; r < repeats + 1; r++) { /* the first is a warm-up */
        int32_t *ids;
        char *back;
        size_t back_size;
        double started = seconds_now();
        int status = ashlar_tokenize(model, text, size, 0, &ids, tokens, err);
        double encoded = seconds_now();
        if (status == ASHLAR_OK) {
            status = ashlar_detokenize(model, ids, *tokens, 0, &back, &back_size, err);
            ashlar_free(ids);
        }
        double decoded = seconds_now();
        if (status != ASHLAR_OK)
            return status;
        ashlar_free(back);
        if (r > 0) {
            encodes[r - 1] = encoded - started;
            decodes[r - 1] = decoded - encoded;
        }
    }
    *encode_s = median(encodes, repeats);
    *decode_s = median(decodes, repeats);
    return ASHLAR_OK;
}

int bench_tokenizer(const char *path, const char *text_path, uint32_t repeats, bool json)
{
    ashlar_model *model;
    ashlar_error err;
    size_t size = 0, tokens = 0;
    double encode_s = 0, decode_s = 0;
    int code;
    if (!open_model(path, &model, &code))
        return code;
    char *text = text_path ? read_text(text_path, &size) : built_in(&size);
    code = EXIT_FAILED;
    if (!text || size == 0) {
        if (text || !text_path)
            fail(text ? "%s is empty: nothing to measure" : "out of memory", text_path);
    } else if (measure(model, text, size, repeats, &encode_s, &decode_s, &tokens, &err) != ASHLAR_OK) {
        code = fail_public(&err);
    } else {
        double megabytes = 1e-6 * (double)size, millions = 1e-6 * (double)tokens;
        code = EXIT_OK;
        if (json)
            printf("{\"bytes\":%zu,\"tokens\":%zu,\"encode_mb_s\":%.2f,\"encode_mtok_s\":%.3f,\"decode_mb_s\":%.2f,"
                   "\"decode_mtok_s\":%.3f}\n", size, tokens, megabytes / encode_s, millions / encode_s,
                   megabytes / decode_s, millions / decode_s);
        else
            printf("text    %9.3f MB, %zu tokens\nencode  %9.1f MB/s  %8.2f million tokens/s\n"
                   "decode  %9.1f MB/s  %8.2f million tokens/s\n", megabytes, tokens, megabytes / encode_s,
                   millions / encode_s, megabytes / decode_s, millions / decode_s);
    }
    free(text);
    ashlar_model_free(model);
    return code;
}
