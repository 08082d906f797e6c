#include "runtime/command/conversion.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "convert/convert.h"
#include "runtime/command/quant_report.h"

/* ---- what fits ---- */

#define CARD_BYTES (UINT64_C(16) << 30) /* cards are sold by powers of two */
#define WORK_BYTES (UINT64_C(1) << 30)  /* of them for activations, the screen and the driver */

/* Weights as they lie in the file, and the keys and values of a context in F16. */
static void print_fit(const ash_convert_result *r)
{
    char size[32], each[32], context[32], trained[32];
    bytes_text(r->kv_bytes, each);
    if (r->output_bytes >= CARD_BYTES - WORK_BYTES) {
        fprintf(stderr, "16 GB card: does not fit: %s of weights, 16.1 GB are there beside 1 GiB to work in\n",
                bytes_text(r->output_bytes, size));
        return;
    }
    uint64_t room = r->kv_bytes ? (CARD_BYTES - WORK_BYTES - r->output_bytes) / r->kv_bytes : 0;
    bool all = room >= r->context || (r->window && room >= r->window);
    fprintf(stderr, "16 GB card: %s of weights leave room for %s tokens of context (KV cache F16, %s a token)%s, trained "
            "for %s\n", bytes_text(r->output_bytes, size), count_text(room, context), each,
            all ? "" : ", less than it was", count_text(r->context, trained));
}

/* ---- the table ---- */

static void print_error(double lost, double energy)
{
    if (energy > 0)
        fprintf(stderr, "  %6.3f%%\n", 100 * sqrt(lost / energy));
    else
        fprintf(stderr, "    exact\n");
}

static void print_types(const ash_convert_result *r, bool written)
{
    char size[32], count[32];
    uint64_t bytes = 0, elements = 0;
    uint32_t tensors = 0;
    fprintf(stderr, "  %-8s %8s %8s %10s %13s%s\n", "type", "tensors", "weights", "size", "bits a weight",
            written ? "    error" : "");
    for (uint32_t t = 0; t < ASH_DTYPE_COUNT; t++) {
        if (!r->by_type[t].tensors)
            continue;
        bytes += r->by_type[t].bytes, elements += r->by_type[t].elements, tensors += r->by_type[t].tensors;
        fprintf(stderr, "  %-8s %8u %8s %10s %13.2f", ash_dtype_name(t), r->by_type[t].tensors,
                count_text(r->by_type[t].elements, count), bytes_text(r->by_type[t].bytes, size),
                8.0 * (double)r->by_type[t].bytes / (double)r->by_type[t].elements);
        if (written)
            print_error(r->by_type[t].lost, r->by_type[t].energy);
        else
            fputc('\n', stderr);
    }
    fprintf(stderr, "  %-8s %8u %8s %10s %13.2f\n", "all", tensors, count_text(elements, count), bytes_text(bytes, size),
            elements ? 8.0 * (double)bytes / (double)elements : 0);
}

/* ---- the run ---- */

static int read_recipe(const usage *u, const conversion_request *r, ash_recipe *out)
{
    if (!ash_recipe_named(r->type, out))
        return usage_error(u, "--type %s is not known; %s are", r->type, ASH_RECIPE_NAMES);
    if (strcmp(r->fp8_scale, "row") != 0 && strcmp(r->fp8_scale, "tensor") != 0)
        return usage_error(u, "--fp8-scale %s is not known; tensor and row are", r->fp8_scale);
    out->fp8_row = strcmp(r->fp8_scale, "row") == 0;
    ash_error err;
    for (size_t i = 0; i < r->tensors.count; i++)
        if (ash_recipe_add(out, r->tensors.items[i], &err) != ASH_OK)
            return usage_error(u, "--tensor: %s", err.text);
    return EXIT_OK;
}

static void print_done(const conversion_request *r, const char *source, const ash_convert_result *result, double spent)
{
    char in[32], out[32], rate[32];
    bytes_text(result->source_bytes, in), bytes_text(result->output_bytes, out);
    if (r->dry_run)
        fprintf(stderr, "%s: %s in, %s out; nothing written\n", source, in, out);
    else
        fprintf(stderr, "wrote %s: %s from %s in %.1f s (%s/s)\n", r->output, out, in, spent,
                bytes_text((uint64_t)((double)result->source_bytes / (spent > 0 ? spent : 1)), rate));
    print_types(result, !r->dry_run);
    if (r->dry_run)
        print_fit(result);
}

/* The bar, and what the page needs: the library has one context for both. */
typedef struct listener {
    progress bar;
    quant_report report;
} listener;

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    return progress_update(&((listener *)context)->bar, done, total);
}

static void on_note(void *context, const char *line) { progress_note(&((listener *)context)->bar, line); }

static void on_matrix(void *context, const ash_convert_matrix *matrix)
{
    quant_report_add(&((listener *)context)->report, matrix);
}

int conversion_run(const usage *u, conversion_request *r, const char *source)
{
    ash_recipe recipe;
    if (!r->output && !r->dry_run)
        return usage_error(u, "-o OUT.ashlar is missing");
    int code = read_recipe(u, r, &recipe);
    if (code != EXIT_OK)
        return code;
    if (r->report && r->dry_run)
        return usage_error(u, "--report needs what --dry-run leaves out");
    listener l = { .report = { 0 } };
    handle_interrupt();
    progress_start(&l.bar, u->verb);
    ash_convert_options options = { .recipe = &recipe, .dry_run = r->dry_run, .force = r->force, .threads = r->threads,
                                    .progress = on_progress, .note = on_note, .context = &l };
    code = guide_open(u, &r->guide, source, r->output, &options);
    if (code != EXIT_OK) {
        progress_end(&l.bar);
        guide_close(&r->guide);
        return code;
    }
    options.guide = &r->guide.convert;
    if (r->report)
        options.matrix = on_matrix;
    progress_start(&l.bar, u->verb);
    ash_convert_result result = { 0 };
    ash_error err;
    ash_status status = ash_convert(source, r->output, &options, &result, &err);
    progress_end(&l.bar);
    guide_close(&r->guide);
    if (status == ASH_OK) {
        print_done(r, source, &result, seconds_now() - l.bar.started);
        if (r->report && !quant_report_write(&l.report, r->report, source, r->output, ash_recipe_name(&recipe), &result))
            code = fail("%s: %s; the model itself is written", r->report, strerror(errno));
    } else {
        code = fail_with(&err);
    }
    quant_report_free(&l.report);
    return code;
}
