#include "runtime/command/quant_report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/directory.h"
#include "runtime/command/command.h"

void quant_report_add(quant_report *r, const ash_convert_matrix *matrix)
{
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 256;
        void *more = realloc(r->items, room * sizeof *r->items);
        if (!more) {
            r->failed = true;
            return;
        }
        r->items = more;
        r->room = room;
    }
    ash_convert_matrix *to = &r->items[r->count];
    *to = *matrix;
    to->name = strdup(matrix->name);
    r->failed = r->failed || !to->name;
    r->count += to->name != NULL;
}

void quant_report_free(quant_report *r)
{
    for (size_t i = 0; i < r->count; i++)
        free((char *)r->items[i].name);
    free(r->items);
    *r = (quant_report){ 0 };
}

/* Text between tags or in an attribute; broken UTF-8 and control characters do not get through. */
static void put_text(FILE *f, const char *text)
{
    char *clean = utf8_clean(text, strlen(text));
    for (const char *c = clean ? clean : ""; *c; c++)
        switch (*c) {
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '&': fputs("&amp;", f); break;
        case '"': fputs("&quot;", f); break;
        default: fputc((unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c, f);
        }
    free(clean);
}

static double error_of(double lost, double energy) { return energy > 0 ? 100 * sqrt(lost / energy) : 0; }

static void put_types(FILE *f, const ash_convert_result *result)
{
    char size[32], count[32];
    fputs("<table><tr><th>type<th>tensors<th>weights<th>size<th>bits a weight<th>error, %</tr>\n", f);
    for (uint32_t t = 0; t < ASH_DTYPE_COUNT; t++)
        if (result->by_type[t].tensors)
            fprintf(f, "<tr><td>%s<td>%u<td>%s<td>%s<td>%.2f<td>%.3f</tr>\n", ash_dtype_name(t), result->by_type[t].tensors,
                    count_text(result->by_type[t].elements, count), bytes_text(result->by_type[t].bytes, size),
                    8.0 * (double)result->by_type[t].bytes / (double)result->by_type[t].elements,
                    error_of(result->by_type[t].lost, result->by_type[t].energy));
    fputs("</table>\n", f);
}

/* ---- the plot of one role: layers to the right, the error up ---- */

enum { WIDTH = 640, HEIGHT = 140, LEFT = 48, BOTTOM = 20, TOP = 10 };

static double x_of(uint32_t layer, uint32_t layers)
{
    return LEFT + (WIDTH - LEFT - 12) * (layers > 1 ? (double)layer / (layers - 1) : 0.5);
}

static double y_of(double percent, double most) { return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * percent / most; }

static void put_plot(FILE *f, const quant_report *r, uint32_t role, uint32_t layers, double most)
{
    fprintf(f, "<h3>%s</h3>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"error of %s by layer\">\n",
            ash_role_name(role), WIDTH, HEIGHT, ash_role_name(role));
    for (int i = 0; i <= 2; i++)
        fprintf(f, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\">%.2g%%</text>\n", LEFT,
                WIDTH - 12, y_of(most * i / 2, most), y_of(most * i / 2, most), 4, y_of(most * i / 2, most) + 4, most * i / 2);
    fputs("<polyline points=\"", f);
    for (size_t i = 0; i < r->count; i++)
        if (r->items[i].role == role)
            fprintf(f, "%.1f,%.1f ", x_of(r->items[i].layer, layers), y_of(100 * r->items[i].error, most));
    fputs("\"/>\n", f);
    for (size_t i = 0; i < r->count; i++) {
        const ash_convert_matrix *m = &r->items[i];
        if (m->role != role)
            continue;
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" class=\"%s\"><title>", x_of(m->layer, layers),
                y_of(100 * m->error, most), ash_dtype_name(m->dtype));
        put_text(f, m->name);
        fprintf(f, ": %s, %.2f bits, %.3f%%</title></circle>\n", ash_dtype_name(m->dtype), m->bits, 100 * m->error);
    }
    fprintf(f, "<text x=\"%.1f\" y=\"%d\">layer 0</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">%u</text></svg>\n",
            x_of(0, layers), HEIGHT - 4, WIDTH - 12, HEIGHT - 4, layers - 1);
}

static void put_plots(FILE *f, const quant_report *r)
{
    uint32_t layers = 0;
    double most = 0;
    bool roles[ASH_ROLE_COUNT] = { false };
    for (size_t i = 0; i < r->count; i++) {
        const ash_convert_matrix *m = &r->items[i];
        if (m->layer == ASH_NO_LAYER || m->role >= ASH_ROLE_COUNT)
            continue;
        layers = m->layer >= layers ? m->layer + 1 : layers;
        most = fmax(most, 100 * m->error);
        roles[m->role] = true;
    }
    if (most == 0) {
        fputs("<p>Every matrix of the layers keeps its type: no error.</p>\n", f);
        return;
    }
    for (uint32_t role = 0; role < ASH_ROLE_COUNT; role++)
        if (roles[role])
            put_plot(f, r, role, layers, most * 1.05);
}

static void put_matrices(FILE *f, const quant_report *r)
{
    fputs("<table><tr><th>matrix<th>type<th>weights<th>bits a weight<th>error, %</tr>\n", f);
    for (size_t i = 0; i < r->count; i++) {
        const ash_convert_matrix *m = &r->items[i];
        char count[32];
        fputs("<tr><td>", f);
        put_text(f, m->name);
        fprintf(f, "<td>%s%s<td>%s<td>%.2f<td>", ash_dtype_name(m->dtype), m->kept ? " (kept)" : "",
                count_text(m->elements, count), m->bits);
        fprintf(f, m->kept ? "exact</tr>\n" : "%.3f</tr>\n", 100 * m->error);
    }
    fputs("</table>\n", f);
}

static const char style[] =
    "body{font:15px/1.4 sans-serif;max-width:720px;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left;"
    "overflow-wrap:anywhere}svg{width:100%}line{stroke:#ddd}text{font:11px sans-serif;fill:#666}"
    "polyline{fill:none;stroke:#9bb}circle{fill:#277}circle.q6_k{fill:#b52}circle.q5_k{fill:#a80}circle.q8_0{fill:#629}";

bool quant_report_write(const quant_report *r, const char *path, const char *source, const char *output,
                        const char *recipe, const ash_convert_result *result)
{
    if (r->failed) {
        errno = ENOMEM;
        return false;
    }
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    fprintf(f, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Quantization</title><style>%s</style>\n", style);
    fputs("<h1>Quantization</h1><p>", f);
    put_text(f, source);
    fputs(" to ", f);
    put_text(f, output);
    fprintf(f, ", %s.</p>\n<p>Errors are relative: the root of the sum of squared errors over that of squared weights, of one "
            "row in 16.</p>\n", recipe);
    put_types(f, result);
    fputs("<h2>By layer</h2>\n", f);
    put_plots(f, r);
    fputs("<h2>Every matrix</h2>\n", f);
    put_matrices(f, r);
    fputs("</html>\n", f);
    bool written = !ferror(f);
    int why = errno;
    if (fclose(f) != 0)
        return false;
    errno = why;
    return written;
}
