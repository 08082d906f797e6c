/* The roofline: for each kernel, over all models that were counted, the operations a byte of memory and the rate of
 * operations that it would reach, both on logarithmic scales, below what memory and the peaks allow. */
#include <math.h>
#include <string.h>

#include "tests/gfx12/roofline/roofline.h"

#define LEFT 80.0
#define WIDE 1000.0
#define HIGH 480.0
#define LETTER 6.6 /* of a label, wide */
#define LINE 14.0
/* Decades shown: operations a byte, and operations a second. */
#define X_LOW (-1.0)
#define X_HIGH 4.0
#define Y_LOW 11.0
#define Y_HIGH 15.0
#define POINTS 64
#define SLOPE 80 /* pieces of memory's slope that labels keep away from */

typedef struct point { char name[64]; double operations, bytes, seconds, x, y; bool matrix; } point;
typedef struct box { double x, y, wide, high; } box;

/* Operations a second: a product and an addition are two. */
static const struct { const char *name; double rate; } peaks[] = {
    { "INT8, FP8 matrix", 2.0 * 16 * 16 * 16 / 8 * ROOF_SIMDS * ROOF_CLOCK },
    { "F16, BF16 matrix", 2.0 * 16 * 16 * 16 / 16 * ROOF_SIMDS * ROOF_CLOCK },
    { "INT8 dot products, vector", 2.0 * 4 * 32 * ROOF_SIMDS * ROOF_CLOCK },
    { "F32 fma, vector", 2.0 * 32 * ROOF_SIMDS * ROOF_CLOCK },
};
enum { PEAKS = sizeof peaks / sizeof *peaks };

static double at_x(double log_intensity) { return LEFT + (log_intensity - X_LOW) / (X_HIGH - X_LOW) * WIDE; }
static double at_y(double top, double log_rate) { return top + (Y_HIGH - log_rate) / (Y_HIGH - Y_LOW) * HIGH; }

static void line(FILE *to, double x0, double y0, double x1, double y1, const char *style)
{
    fprintf(to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x0, y0, x1, y1, style);
}

static void axes(FILE *to, double top)
{
    static const char *const rates[] = { "0.1 T", "1 T", "10 T", "100 T", "1000 T" };
    for (int d = (int)X_LOW; d <= (int)X_HIGH; d++) {
        line(to, at_x(d), top, at_x(d), top + HIGH, "stroke=\"#e4e4e4\"");
        fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n", at_x(d), top + HIGH + 18,
                pow(10, d));
    }
    for (int d = (int)Y_LOW; d <= (int)Y_HIGH; d++) {
        line(to, LEFT, at_y(top, d), LEFT + WIDE, at_y(top, d), "stroke=\"#e4e4e4\"");
        fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 8, at_y(top, d) + 4,
                rates[d - (int)Y_LOW]);
    }
    fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">operations a byte of memory</text>\n",
            LEFT + WIDE / 2, top + HIGH + 38);
    fprintf(to,
            "<text transform=\"translate(22 %.1f) rotate(-90)\" text-anchor=\"middle\">operations a second</text>\n",
            top + HIGH / 2);
}

/* Memory's slope as far as the highest peak, and every peak from memory's slope on, its name at the right. `taken`
 * gets the places of all of them, as labels see them. */
static uint32_t ceilings(FILE *to, double top, box *taken)
{
    double memory = log10(ROOF_BANDWIDTH), from = fmax(X_LOW, Y_LOW - memory), ridge = log10(peaks[0].rate) - memory;
    double slope = HIGH / (Y_HIGH - Y_LOW) / (WIDE / (X_HIGH - X_LOW)), named = 1.1;
    uint32_t n = 0;
    char name[80];
    line(to, at_x(from), at_y(top, memory + from), at_x(ridge), at_y(top, memory + ridge),
         "stroke=\"#222\" stroke-width=\"2\"");
    snprintf(name, sizeof name, "%.0f GB/s of memory", ROOF_BANDWIDTH / 1e9);
    fprintf(to, "<text transform=\"translate(%.1f %.1f) rotate(%.1f)\" class=\"v\">%s</text>\n", at_x(named),
            at_y(top, memory + named) - 9, -atan(slope) * 57.29577951308232, name);
    double end = named + LETTER * (double)strlen(name) / WIDE * (X_HIGH - X_LOW);
    for (int k = 0; k < SLOPE; k++) {
        double x = from + (ridge - from) * k / SLOPE, high = x > named - 0.1 && x < end ? 2 * LINE : 8;
        taken[n++] =
            (box){ at_x(x), at_y(top, memory + x) + 4 - high, (ridge - from) / SLOPE * WIDE / (X_HIGH - X_LOW), high };
    }
    for (int k = 0; k < PEAKS; k++) {
        double rate = log10(peaks[k].rate), height = at_y(top, rate), x = at_x(rate - memory);
        line(to, x, height, LEFT + WIDE, height, k < 2 ? "stroke=\"#222\" stroke-width=\"2\""
                                                       : "stroke=\"#222\" stroke-dasharray=\"6 4\"");
        snprintf(name, sizeof name, "%s: %.3g T", peaks[k].name, peaks[k].rate / 1e12);
        double wide = LETTER * (double)strlen(name);
        taken[n++] = (box){ x, height - 2, LEFT + WIDE - x, 4 };
        taken[n++] = (box){ LEFT + WIDE - wide, height - 4 - LINE, wide, LINE };
        fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" class=\"v\">%s</text>\n", LEFT + WIDE, height - 6,
                name);
    }
    return n;
}

/* A point a kernel: all its launches that were counted. Kernels that multiply nothing have none. */
static uint32_t collect(const roof_result *results, uint32_t count, double top, point *points)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < count; r++)
        for (uint32_t i = 0; i < results[r].list.count; i++) {
            const roof_line *l = &results[r].line[i];
            if (!l->counted || l->launch->products <= 0 || l->counts.memory_bytes <= 0)
                continue;
            const char *symbol = l->launch->kernel->symbol;
            bool attends = l->launch->op == ASH_GFX_OP_ATTEND || l->launch->op == ASH_GFX_OP_ATTEND_PREFILL;
            char name[64];
            snprintf(name, sizeof name, "%s%s", symbol + (strncmp(symbol, "ash_", 4) == 0 ? 4 : 0),
                     attends && l->launch->args.attend.cache.fp8 ? " FP8" : "");
            uint32_t k = 0;
            while (k < n && strcmp(points[k].name, name) != 0)
                k++;
            if (k == POINTS)
                continue;
            if (k == n) {
                points[n] = (point){ .matrix = l->counts.matrix > 0 };
                memcpy(points[n++].name, name, sizeof name);
            }
            points[k].operations += 2 * l->launch->products * l->launch->times;
            points[k].bytes += l->counts.memory_bytes * l->launch->times;
            points[k].seconds += l->time.total * l->launch->times;
        }
    for (uint32_t k = 0; k < n; k++) {
        points[k].x = at_x(log10(points[k].operations / points[k].bytes));
        points[k].y = at_y(top, log10(points[k].operations / points[k].seconds));
    }
    return n;
}

static bool apart(const box *a, const box *b)
{
    return a->x + a->wide <= b->x || b->x + b->wide <= a->x || a->y + a->high <= b->y || b->y + b->high <= a->y;
}

/* The place nearest to its point that nothing has taken yet. */
static box free_place(const point *p, double wide, double top, const box *taken, uint32_t count)
{
    box best = { p->x + 9, p->y - LINE / 2, wide, LINE };
    double least = 1e9;
    for (int step = 0; step < 2 * 12 * 49; step++) {
        double aside = 9 + 8 * (step / 2 % 12), away = LINE / 4 * (step / 24 - 24), distance = hypot(aside, away);
        box b = { step % 2 ? p->x - aside - wide : p->x + aside, p->y - LINE / 2 + away, wide, LINE };
        bool fits = distance < least && b.x > LEFT && b.x + wide < LEFT + WIDE && b.y > top && b.y + LINE < top + HIGH;
        for (uint32_t k = 0; k < count && fits; k++)
            fits = apart(&b, &taken[k]);
        if (fits) {
            best = b;
            least = distance;
        }
    }
    return best;
}

double roof_plot(FILE *to, const roof_result *results, uint32_t count, double top)
{
    point points[POINTS];
    box taken[SLOPE + 2 * PEAKS + 2 * POINTS];
    axes(to, top);
    uint32_t used = ceilings(to, top, taken), n = collect(results, count, top, points);
    for (uint32_t k = 0; k < n; k++)
        taken[used++] = (box){ points[k].x - 6, points[k].y - 6, 12, 12 };
    for (uint32_t k = 0; k < n; k++) {
        const point *p = &points[k];
        char label[120];
        double allowed = fmin(p->operations / p->bytes * ROOF_BANDWIDTH, peaks[0].rate),
               rate = p->operations / p->seconds;
        memcpy(label, p->name, sizeof p->name);
        box b = free_place(p, LETTER * (double)strlen(label), top, taken, used);
        taken[used++] = b;
        bool right = b.x > p->x;
        if (fabs(b.y + LINE / 2 - p->y) > LINE / 2 || fabs((right ? b.x : b.x + b.wide) - p->x) > 12)
            line(to, p->x, p->y, right ? b.x - 1 : b.x + b.wide + 1, b.y + LINE / 2,
                 "stroke=\"#999\" stroke-width=\"0.8\"");
        fprintf(
            to,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"><title>%s: %.3g operations a byte, %.3g T a second, "
            "%.0f%% of what memory and the highest peak allow</title></circle>\n",
            p->x, p->y, p->matrix ? "#3ca951" : "#4269d0", label, p->operations / p->bytes, rate / 1e12,
            100 * rate / allowed);
        fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"v\">%s</text>\n",
                right ? b.x : b.x + b.wide, b.y + LINE - 3.5, right ? "start" : "end", label);
    }
    fprintf(
        to,
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" class=\"p\">green: kernels with matrix instructions; blue: "
        "vector instructions alone; launches of all models together, ramps included</text>\n",
        LEFT + WIDE, top + HIGH + 56);
    return top + HIGH + 80;
}
