#include "runtime/command/chat_complete.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/command/chat.h"

#define CHOICES_MAX 100

typedef struct choices {
    char *names[CHOICES_MAX];
    size_t count;
} choices;

static void consider(choices *c, const char *name, const char *begun)
{
    char *copy;
    if (strncmp(name, begun, strlen(begun)) == 0 && c->count < CHOICES_MAX && (copy = strdup(name)))
        c->names[c->count++] = copy;
}

/* Entries of begun's folder that begin like its last part; folders with a slash behind them. */
static void consider_files(choices *c, const char *begun)
{
    const char *slash = strrchr(begun, '/'), *last = slash ? slash + 1 : begun;
    char *folder = slash ? strndup(begun, (size_t)(last - begun)) : strdup(".");
    DIR *entries = folder ? opendir(folder) : NULL;
    for (struct dirent *d; entries && (d = readdir(entries));) {
        if (d->d_name[0] == '.' && *last != '.')
            continue;
        char *name;
        struct stat kind;
        bool is_folder = fstatat(dirfd(entries), d->d_name, &kind, 0) == 0 && S_ISDIR(kind.st_mode);
        if (asprintf(&name, "%s%s", d->d_name, is_folder ? "/" : "") < 0)
            continue;
        consider(c, name, last);
        free(name);
    }
    if (entries)
        closedir(entries);
    free(folder);
}

/* How many bytes all names share, whole characters. */
static size_t shared_bytes(const choices *c)
{
    size_t n = strlen(c->names[0]);
    for (size_t i = 1; i < c->count; i++) {
        size_t same = 0;
        while (same < n && c->names[i][same] == c->names[0][same])
            same++;
        n = same;
    }
    while (n && ((unsigned char)c->names[0][n] & 0xc0) == 0x80)
        n--;
    return n;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static char *list(choices *c)
{
    char *text = NULL, plain[256];
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    qsort(c->names, c->count, sizeof *c->names, by_name);
    for (size_t i = 0; i < c->count; i++)
        fprintf(out, "%s%s", i ? "  " : "", plain_text(c->names[i], plain, sizeof plain));
    fputs(c->count == CHOICES_MAX ? "  ..." : "", out);
    return fclose(out) == 0 ? text : NULL;
}

void chat_complete(const char *before, char **more, char **shown)
{
    choices c = { .count = 0 };
    size_t command = strcspn(before, " ");
    const char *begun = before + command + strspn(before + command, " ");
    *more = *shown = NULL;
    if (*before != '/')
        return;
    if (before[command] == 0) {
        begun = before;
        for (size_t i = 0; chat_command_name(i); i++)
            consider(&c, chat_command_name(i), begun);
    } else if (strncmp(before, "/params ", 8) == 0) {
        for (size_t i = 0; chat_parameter_name(i); i++)
            consider(&c, chat_parameter_name(i), begun);
    } else if (strncmp(before, "/save ", 6) == 0 || strncmp(before, "/load ", 6) == 0) {
        consider_files(&c, begun);
        begun = strrchr(begun, '/') ? strrchr(begun, '/') + 1 : begun;
    }
    if (c.count == 0)
        return;
    size_t from = strlen(begun), to = shared_bytes(&c);
    const char *name = c.names[0];
    bool ended = c.count == 1 && to && name[to - 1] != '/';
    if (to >= from && asprintf(more, "%.*s%s", (int)(to - from), name + from, ended ? " " : "") < 0)
        *more = NULL;
    if (c.count > 1)
        *shown = list(&c);
    for (size_t i = 0; i < c.count; i++)
        free(c.names[i]);
}
