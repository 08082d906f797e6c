/* The picture: the roofline (plot.c), then a bar for each model and type, time a token (decoding) and time a prompt
 * (prefill), by kernel. */
#include <string.h>

#include "tests/gfx12/roofline/roofline.h"

#define WIDTH 1180
#define LEFT 170
#define BAR 720     /* of the longest */
#define ROW 26
#define PLOT 560 /* high */
#define OVERHEAD 3e-6

typedef struct part { const char *name, *colour; } part;
enum { PART_QKV, PART_ATTENTION, PART_O, PART_GATE_UP, PART_DOWN, PART_OUTPUT, PART_REST, PART_RAMP, PART_LAUNCH,
       PARTS };
static const part parts[PARTS] = {
    { "q k v", "#4269d0" }, { "attention", "#efb118" }, { "o", "#6cc5b0" }, { "gate up", "#3ca951" },
    { "down", "#9ac7a0" }, { "output", "#a463f2" }, { "inputs, embedding, sampling", "#9c6b4e" },
    { "ramps", "#ff725c" }, { "launches, 3 us each", "#b0b0b0" },
};

static int part_of(const roof_launch *l)
{
    if (l->op == ASH_GFX_OP_ATTEND || l->op == ASH_GFX_OP_ATTEND_PREFILL || l->op == ASH_GFX_OP_KV_STORE)
        return PART_ATTENTION;
    if (l->op != ASH_GFX_OP_DECODE && l->op != ASH_GFX_OP_PREFILL)
        return PART_REST;
    return strcmp(l->what, "o") == 0 ? PART_O : strcmp(l->what, "gate up") == 0 ? PART_GATE_UP
         : strcmp(l->what, "down") == 0 ? PART_DOWN : strcmp(l->what, "output") == 0 ? PART_OUTPUT : PART_QKV;
}

static void text(FILE *to, double x, double y, const char *anchor, const char *style, const char *s)
{
    fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s%s>", x, y, anchor, *style ? " " : "", style);
    for (; *s; s++)
        if (*s == '&' || *s == '<' || *s == '>')
            fputs(*s == '&' ? "&amp;" : *s == '<' ? "&lt;" : "&gt;", to);
        else
            fputc(*s, to);
    fprintf(to, "</text>\n");
}

static void bar(FILE *to, const roof_result *r, double y, double longest)
{
    double seconds[PARTS] = { 0 }, x = LEFT, all = roof_seconds(r, OVERHEAD);
    char label[160];
    for (uint32_t i = 0; i < r->list.count; i++) {
        const roof_line *l = &r->line[i];
        if (!l->counted)
            continue;
        seconds[part_of(l->launch)] += l->launch->times * l->time.inside;
        seconds[PART_RAMP] += l->launch->times * (l->time.total - l->time.inside);
    }
    seconds[PART_LAUNCH] = r->launches * OVERHEAD;
    snprintf(label, sizeof label, r->work == ROOF_DECODE && r->tokens > 1 ? "%s %s x %u" : "%s %s", r->model, r->type,
             r->tokens);
    text(to, LEFT - 8, y + 14, "end", "", label);
    for (int p = 0; p < PARTS; p++) {
        double wide = seconds[p] / longest * BAR;
        fprintf(to, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"18\" fill=\"%s\">"
                "<title>%s: %.3f ms, %.1f%%</title></rect>\n", x, y, wide, parts[p].colour, parts[p].name,
                seconds[p] * 1e3, 100 * seconds[p] / all);
        x += wide;
    }
    if (r->work != ROOF_DECODE)
        snprintf(label, sizeof label, "%.0f tok/s%s", r->tokens / all, r->whole ? "" : " at most: kernels are missing");
    else
        snprintf(label, sizeof label, "%.1f tok/s, %.0f%% of 640 GB/s%s", r->tokens / all,
                 r->bytes / all / ROOF_PEAK_BANDWIDTH * 100, r->whole ? "" : " at most: kernels are missing");
    text(to, x + 6, y + 14, "start", "class=\"v\"", label);
}

static double section(FILE *to, const roof_result *results, uint32_t count, roof_work work, double y)
{
    double longest = 1e-9;
    char title[160];
    for (uint32_t i = 0; i < count; i++) {
        if (results[i].work == work && roof_seconds(&results[i], OVERHEAD) > longest)
            longest = roof_seconds(&results[i], OVERHEAD);
    }
    snprintf(title, sizeof title, work == ROOF_DECODE ? "Decoding: time of a token, the longest %.2f ms"
                                         : "Prefill: time of a prompt, the longest %.1f ms", longest * 1e3);
    text(to, 16, y + 14, "start", "class=\"h\"", title);
    y += ROW;
    for (uint32_t i = 0; i < count; i++) {
        if (results[i].work != work)
            continue;
        bar(to, &results[i], y, longest);
        y += ROW;
    }
    for (uint32_t i = 0; i < roof_peer_count; i++) {
        char label[200];
        const roof_peer *p = &roof_peers[i];
        if (p->work != work)
            continue;
        snprintf(label, sizeof label, "published: %.1f tok/s, %s, %s", p->figure, p->what, p->who);
        text(to, LEFT, y + 12, "start", "class=\"p\"", label);
        y += 17;
    }
    return y + 14;
}

static void legend(FILE *to, double y)
{
    double x = 16;
    for (int p = 0; p < PARTS; p++) {
        fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"14\" fill=\"%s\"/>\n", x, y, parts[p].colour);
        text(to, x + 19, y + 12, "start", "", parts[p].name);
        x += 40 + 7.2 * (double)strlen(parts[p].name);
    }
}

void roof_svg(FILE *to, const roof_result *results, uint32_t count)
{
    double height = PLOT + 130 + ROW * (count + 2.0) + 17.0 * roof_peer_count + 30;
    fprintf(to, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\">\n"
            "<style>text{font:13px sans-serif;fill:#222}.h{font-weight:bold;font-size:15px}.v{font-size:12px}"
            ".p{font-size:12px;fill:#666}</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, height, WIDTH, height);
    text(to, 16, 26, "start", "class=\"h\"",
         "ashlar on an " ROOF_CARD ": a projection from counted instructions and bytes, not a measurement");
    text(to, 16, 46, "start", "class=\"p\"",
         "620 GB/s, 2.97 GHz, 800 ns of memory latency (assumed), 3 microseconds a launch; of matrix and "
         "vector instructions, memory and LDS the slowest decides");
    double y = roof_plot(to, results, count, 66);
    legend(to, y);
    y = section(to, results, count, ROOF_DECODE, y + 32);
    (void)section(to, results, count, ROOF_PREFILL, y);
    fprintf(to, "</svg>\n");
}
