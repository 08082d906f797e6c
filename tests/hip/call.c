/* What every call goes through: the lock, counts, failures that the environment orders, a failed device, captures. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hip/state.h"

#define LINES_MAX 1000

typedef enum call_kind { ABOUT, PLAIN, OUTSIDE, RELEASE } call_kind;
static const struct { const char *name; call_kind kind; } calls[] = {
#define STANDIN_CALL(name, kind, parameters) { "hip" #name, kind },
#include "tests/hip/calls.def"
};

standin all = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
static char *lines[LINES_MAX];
static size_t line_count;

const char *standin_call_name(int call) { return calls[call].name; }

/* ---- calls ---- */

void standin_begin(standin_call call)
{
    pthread_mutex_lock(&all.lock);
    all.counts.calls[call]++;
}

static bool is_due(const failure *f, standin_call call)
{
    return (f->call == (int)call || (f->call == STANDIN_CALLS && calls[call].kind != RELEASE)) &&
           all.counted[f->call] == f->number;
}

int standin_admit(standin_call call)
{
    int current = standin_card();
    card_info *c = current >= 0 ? &all.cards[current] : NULL;
    call_kind kind = calls[call].kind;
    all.counted[call]++;
    all.counted[STANDIN_CALLS] += kind != RELEASE;
    all.counts.counted += kind != RELEASE;
    for (size_t i = 0; i < all.failure_count; i++) {
        const failure *f = &all.failures[i];
        if (f->late || f->hang || !is_due(f, call))
            continue;
        if (c && (f->code == STANDIN_ILLEGAL_ADDRESS || f->code == STANDIN_LAUNCH_FAILURE))
            c->failed = f->code;
        bool memory = call == STANDIN_Malloc || call == STANDIN_HostMalloc;
        return f->code ? f->code : memory ? STANDIN_OUT_OF_MEMORY : STANDIN_UNKNOWN;
    }
    if (kind == ABOUT)
        return STANDIN_SUCCESS;
    if (!c)
        return STANDIN_NO_DEVICE;
    if (kind != RELEASE && c->failed)
        return c->failed;
    if (kind == OUTSIDE && standin_capturing(true))
        return standin_refuse(STANDIN_CAPTURE_UNSUPPORTED, "%s is called by a thread that captures", calls[call].name);
    return STANDIN_SUCCESS;
}

int standin_enter(standin_call call)
{
    standin_begin(call);
    return standin_admit(call);
}

int standin_leave(standin_call call, int code)
{
    int current = standin_card();
    if (code == STANDIN_SUCCESS && calls[call].kind == RELEASE && current >= 0)
        code = all.cards[current].failed;
    pthread_mutex_unlock(&all.lock);
    return code;
}

void standin_mark(standin_call call, work *w)
{
    for (size_t i = 0; i < all.failure_count; i++) {
        const failure *f = &all.failures[i];
        if (!is_due(f, call))
            continue;
        w->hang = w->hang || f->hang;
        w->skip = w->skip || f->skip;
        if (f->late && !f->skip)
            w->fail = f->code ? f->code : STANDIN_LAUNCH_FAILURE;
    }
}

/* ---- the report ---- */

int standin_refuse(int code, const char *format, ...)
{
    char text[800];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "standin: %s\n", text);
    all.counts.errors++;
    if (line_count < LINES_MAX && (lines[line_count] = strdup(text)) != NULL)
        line_count++;
    return code;
}

void standin_forget_errors(void)
{
    while (line_count)
        free(lines[--line_count]);
}

const char *standin_error(uint64_t index)
{
    pthread_mutex_lock(&all.lock);
    const char *line = index < line_count ? lines[index] : NULL;
    pthread_mutex_unlock(&all.lock);
    return line;
}

void standin_counts_now(standin_counts *out)
{
    pthread_mutex_lock(&all.lock);
    *out = all.counts;
    pthread_mutex_unlock(&all.lock);
}

static void write_text(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        if ((unsigned char)*s < ' ')
            fprintf(f, "\\u%04x", (unsigned char)*s);
        else
            fprintf(f, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
    }
    fputc('"', f);
}

/* With the lock held. */
void standin_write_report(void)
{
    const char *path = getenv("ASHLAR_STANDIN_REPORT");
    const standin_counts *c = &all.counts;
    FILE *f = path && *path ? fopen(path, "w") : NULL;
    if (!f)
        return;
    fprintf(f, "{\n  \"calls\": {");
    for (int i = 0; i < STANDIN_CALLS; i++)
        fprintf(f, "%s\"%s\": %llu", i ? ", " : "", calls[i].name, (unsigned long long)c->calls[i]);
    fprintf(f, "},\n");
    const struct { const char *name; uint64_t value; } numbers[] = {
        { "counted", c->counted },
        { "copies_to_device", c->copies[STANDIN_TO_DEVICE] }, { "bytes_to_device", c->copied_bytes[STANDIN_TO_DEVICE] },
        { "copies_to_host", c->copies[STANDIN_TO_HOST] }, { "bytes_to_host", c->copied_bytes[STANDIN_TO_HOST] },
        { "copies_on_device", c->copies[STANDIN_ON_DEVICE] }, { "bytes_on_device", c->copied_bytes[STANDIN_ON_DEVICE] },
        { "fills", c->fills }, { "filled_bytes", c->filled_bytes }, { "launches", c->launches },
        { "graph_launches", c->graph_launches }, { "graph_kernels", c->graph_kernels }, { "captures", c->captures },
        { "unpinned", c->unpinned }, { "live_allocations", c->allocations }, { "live_pinned", c->pinned },
        { "live_streams", c->streams }, { "live_events", c->events }, { "live_modules", c->modules },
        { "live_graphs", c->graphs }, { "live_graph_execs", c->graph_execs }, { "device_bytes", c->device_bytes },
        { "peak_bytes", c->peak_bytes }, { "pinned_bytes", c->pinned_bytes },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        fprintf(f, "  \"%s\": %llu,\n", numbers[i].name, (unsigned long long)numbers[i].value);
    fprintf(f, "  \"errors\": [");
    for (size_t i = 0; i < line_count; i++) {
        fprintf(f, i ? ",\n    " : "\n    ");
        write_text(f, lines[i]);
    }
    fprintf(f, "]\n}\n");
    fclose(f);
}

/* ---- the environment ---- */

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    char *end;
    if (!s || !*s)
        return otherwise;
    errno = 0;
    uint64_t n = strtoull(s, &end, 0);
    if (*end || errno)
        standin_refuse(0, "%s=%s is no number", name, s);
    return n;
}

/* "Malloc:3", "Malloc:3=1", "ModuleLaunchKernel:3~719", "ModuleLaunchKernel:3~0", "*:3". */
static bool read_failure(const char *s, bool hang, failure *out)
{
    size_t n = strcspn(s, ":");
    char *end;
    *out = (failure){ .call = -1, .hang = hang };
    if (n == 1 && *s == '*' && !hang)
        out->call = STANDIN_CALLS;
    for (int i = 0; i < STANDIN_CALLS; i++)
        if (strlen(calls[i].name) == n + 3 && strncmp(calls[i].name + 3, s, n) == 0)
            out->call = i;
    if (out->call < 0 || s[n] != ':')
        return false;
    out->number = strtoull(s + n + 1, &end, 10);
    out->late = *end == '~';
    const char *digits = end + 1;
    if (*end == '=' || *end == '~')
        out->code = (int)strtol(digits, &end, 10);
    out->skip = out->late && end != digits && out->code == 0;
    return out->number != 0 && *end == 0 && !(hang && out->code);
}

static void read_failures(const char *name, bool hang)
{
    const char *s = getenv(name);
    while (s && *s) {
        char one[64];
        size_t n = strcspn(s, ",");
        snprintf(one, sizeof one, "%.*s", (int)(n < sizeof one ? n : sizeof one - 1), s);
        if (all.failure_count == FAILURES_MAX || !read_failure(one, hang, &all.failures[all.failure_count]))
            standin_refuse(0, "%s: %s is not understood", name, one);
        else
            all.failure_count++;
        s += n + (s[n] == ',');
    }
}

void standin_read_environment(void)
{
    all.memory_bytes = number_of("ASHLAR_STANDIN_MEMORY", UINT64_C(16) << 30);
    all.delay_us = number_of("ASHLAR_STANDIN_DELAY", 0);
    all.seed = number_of("ASHLAR_STANDIN_SEED", 1);
    all.failure_count = 0;
    memset(all.counted, 0, sizeof all.counted);
    read_failures("ASHLAR_STANDIN_FAIL", false);
    read_failures("ASHLAR_STANDIN_HANG", true);
}
