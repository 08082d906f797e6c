/* What every verb prints alike: errors, progress, sizes; and the interrupt flag. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <utf8proc.h>

#include "format/fileio.h"
#include "runtime/command/command.h"

int fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("ashlar: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

int fail_with(const ash_error *err) { return fail("%s", err->text); }
int fail_public(const ashlar_error *err) { return fail("%s", err->text); }

/* ---- interrupt ---- */

volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    if (interrupted) {
        ash_output_unlink_all();
        _exit(128 + signal_number);
    }
    interrupted = 1;
}

static const int interrupts[] = { SIGINT, SIGTERM, SIGHUP };
enum { INTERRUPTS = sizeof interrupts / sizeof *interrupts };
static struct sigaction before[INTERRUPTS];

void handle_interrupt(void)
{
    struct sigaction action = { .sa_handler = on_interrupt };
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < INTERRUPTS; i++) {
        sigaction(interrupts[i], NULL, &before[i]);
        if (interrupts[i] != SIGHUP || before[i].sa_handler != SIG_IGN) /* nohup means it */
            sigaction(interrupts[i], &action, NULL);
    }
}

void restore_interrupt(void)
{
    for (int i = 0; i < INTERRUPTS; i++)
        sigaction(interrupts[i], &before[i], NULL);
}

/* ---- time, sizes ---- */

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double set_aside;

double seconds_since_start(void)
{
    static double start;
    if (start == 0)
        start = seconds_now();
    return seconds_now() - start - set_aside;
}

void seconds_set_aside(double spent) { set_aside += spent; }

static const char *scaled(double value, const char *const units[], const char *suffix, char out[32])
{
    int i = 0;
    while (value >= 999.5 && i < 4)
        value /= 1000, i++;
    snprintf(out, 32, value < 9.995 && i > 0 ? "%.2f %s%s" : value < 99.95 && i > 0 ? "%.1f %s%s" : "%.0f %s%s", value,
             units[i], suffix);
    return out;
}

const char *bytes_text(uint64_t bytes, char out[32])
{
    static const char *const units[] = { "", "k", "M", "G", "T" };
    if (bytes < 1000) {
        snprintf(out, 32, "%u bytes", (unsigned)bytes);
        return out;
    }
    return scaled((double)bytes, units, "B", out);
}

const char *count_text(uint64_t count, char out[32])
{
    static const char *const units[] = { "", "k", "M", "B", "T" };
    return scaled((double)count, units, "", out);
}

long peak_rss_mib(void)
{
    struct rusage usage_now;
    getrusage(RUSAGE_SELF, &usage_now);
    return usage_now.ru_maxrss / 1024;
}

/* ---- progress ---- */

enum { BAR_CELLS = 24 };

void progress_start(progress *p, const char *label)
{
    *p = (progress){ .label = label, .started = seconds_now(), .terminal = isatty(STDERR_FILENO) };
    p->last = p->started;
}

int progress_update(void *context, uint64_t done, uint64_t total)
{
    progress *p = context;
    double now = seconds_now(), spent = now - p->started;
    bool last = done >= total;
    p->total = total;
    /* A terminal is redrawn ten times a second; a log gets a line each ten seconds. */
    if (now - p->last < (p->terminal ? 0.1 : 10.0) && !(last && p->shown))
        return interrupted != 0;
    p->last = now;
    double share = total ? (double)done / (double)total : 1, rate = spent > 0 ? (double)done / spent : 0;
    double left = rate > 0 ? (double)(total - done) / rate : 0;
    char a[32], b[32], c[32];
    bytes_text(done, a), bytes_text(total, b), bytes_text((uint64_t)rate, c);
    if (p->terminal) {
        char bar[BAR_CELLS * 3 + 1] = "";
        int full = (int)(share * BAR_CELLS);
        for (int i = 0; i < BAR_CELLS; i++)
            strcat(bar, i < full ? "\xe2\x96\x88" : "\xe2\x96\x91");
        fprintf(stderr, "\r\033[K%s %s %3.0f%%  %s of %s  %s/s  %.0f s left", p->label, bar, 100 * share, a, b, c, left);
        fflush(stderr);
    } else {
        fprintf(stderr, "%s: %.0f%%, %s of %s, %s/s, %.0f s left\n", p->label, 100 * share, a, b, c, left);
    }
    p->shown = true;
    return interrupted != 0;
}

void progress_note(void *context, const char *line)
{
    progress *p = context;
    fprintf(stderr, "%s%s\n", p->terminal && p->shown ? "\r\033[K" : "", line);
}

void progress_end(progress *p)
{
    if (p->terminal && p->shown)
        fputs("\r\033[K", stderr);
}

/* ---- text ---- */

char *utf8_clean(const char *bytes, size_t size)
{
    char *out = malloc(3 * size + 1), *at = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < size;) {
        utf8proc_int32_t point;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)bytes + i, (utf8proc_ssize_t)(size - i), &point);
        if (n > 0 && point != 0) {
            memcpy(at, bytes + i, (size_t)n);
            at += n;
            i += (size_t)n;
        } else {
            memcpy(at, "\xef\xbf\xbd", 3);
            at += 3;
            i++;
        }
    }
    *at = 0;
    return out;
}

const char *plain_text(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; text[n] && n + 1 < size; n++)
        out[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? ' ' : text[n];
    out[n] = 0;
    return out;
}

char *read_text(const char *path, size_t *size)
{
    ash_error err;
    char *text = NULL;
    if (strcmp(path, "-") != 0) {
        if (ash_read_whole(path, (size_t)1 << 32, &text, size, &err) != ASH_OK)
            fail_with(&err);
        return text;
    }
    size_t room = 0, used = 0;
    for (;;) {
        if (used + 1 >= room) {
            room = room ? 2 * room : 1 << 16;
            char *bigger = realloc(text, room);
            if (!bigger) {
                free(text);
                fail("standard input: out of memory after %zu bytes", used);
                return NULL;
            }
            text = bigger;
        }
        size_t n = fread(text + used, 1, room - used - 1, stdin);
        if (n == 0)
            break;
        used += n;
    }
    if (ferror(stdin)) {
        fail("standard input: %s", strerror(errno));
        free(text);
        return NULL;
    }
    text[used] = 0;
    *size = used;
    return text;
}
