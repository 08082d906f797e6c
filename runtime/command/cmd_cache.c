/* ashlar cache: what is in the cache of conversions, and its removal. */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format/fileio.h"
#include "runtime/command/cache.h"
#include "runtime/command/command.h"

/* A slot as it is found. */
typedef struct item {
    cache_slot slot;
    char *source;      /* NULL: no record, so unknown */
    const char *state; /* "current", "changed", "gone" (of the source); "unfinished" */
    bool there;        /* there is a conversion, or a part of one: not a lock alone */
    uint64_t bytes;    /* of them */
    time_t used;
} item;

typedef struct listing {
    char *folder;
    item *items; /* the last used first */
    size_t count;
    uint64_t bytes;
} listing;

/* ---- what is there ---- */

static void listing_free(listing *l)
{
    for (size_t i = 0; i < l->count; i++) {
        cache_slot_free(&l->items[i].slot);
        free(l->items[i].source);
    }
    free(l->items);
    free(l->folder);
    *l = (listing){ 0 };
}

static item *find_slot(listing *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i].slot.name, name) == 0)
            return &l->items[i];
    return NULL;
}

static ash_status add_slot(listing *l, const char *name, item **out, ash_error *err)
{
    *out = find_slot(l, name);
    if (*out)
        return ASH_OK;
    item *bigger = realloc(l->items, (l->count + 1) * sizeof *bigger);
    if (!bigger)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", l->folder);
    l->items = bigger;
    *out = &bigger[l->count];
    **out = (item){ 0 };
    ASH_TRY(cache_slot_open(l->folder, name, &(*out)->slot, err));
    l->count++;
    return ASH_OK;
}

static ash_status add_file(listing *l, const char *file, ash_error *err)
{
    char slot[CACHE_SLOT_MAX];
    bool entry, temporary;
    if (!cache_slot_of(file, slot, &entry, &temporary))
        return ASH_OK; /* none of ours */
    item *it;
    struct stat st;
    ASH_TRY(add_slot(l, slot, &it, err));
    char *path = ash_path_join(l->folder, file);
    if (path && (entry || temporary) && lstat(path, &st) == 0) {
        it->there = true;
        it->bytes += (uint64_t)st.st_size;
        it->used = st.st_mtime > it->used ? st.st_mtime : it->used;
    }
    free(path);
    return ASH_OK;
}

static void find_state(item *it)
{
    cache_record record;
    cache_source now;
    ash_error ignored;
    it->source = cache_slot_source(&it->slot);
    it->state = "unfinished";
    if (!cache_slot_record(&it->slot, &record))
        return;
    it->used = record.used;
    if (cache_source_read(record.source, &now, &ignored) != ASH_OK || !now.path)
        it->state = ash_path_exists(record.source) ? "changed" : "gone";
    else
        it->state = strcmp(now.key, record.key) == 0 ? "current" : "changed";
    cache_source_free(&now);
    free(record.source);
}

static int last_used_first(const void *a, const void *b)
{
    const item *x = a, *y = b;
    return x->used != y->used ? (x->used < y->used) - (x->used > y->used) : strcmp(x->slot.name, y->slot.name);
}

/* A folder that does not exist holds nothing. */
static ash_status read_listing(listing *l, ash_error *err)
{
    *l = (listing){ 0 };
    ASH_TRY(cache_folder(&l->folder, err));
    DIR *d = opendir(l->folder);
    if (!d)
        return errno == ENOENT ? ASH_OK : ash_fail_errno(err, "%s: cannot list the cache", l->folder);
    ash_status status = ASH_OK;
    for (struct dirent *e; status == ASH_OK && (e = readdir(d));)
        status = add_file(l, e->d_name, err);
    closedir(d);
    for (size_t i = 0; i < l->count; i++) {
        find_state(&l->items[i]);
        l->bytes += l->items[i].bytes;
    }
    if (l->count)
        qsort(l->items, l->count, sizeof *l->items, last_used_first);
    return status;
}

/* ---- list ---- */

static void add_text(cJSON *object, const char *key, const char *text)
{
    char *clean = utf8_clean(text, strlen(text));
    cJSON_AddStringToObject(object, key, clean ? clean : "");
    free(clean);
}

static void print_json(const listing *l)
{
    cJSON *root = cJSON_CreateObject(), *all = cJSON_CreateArray();
    add_text(root, "folder", l->folder);
    cJSON_AddNumberToObject(root, "bytes", (double)l->bytes);
    cJSON_AddItemToObject(root, "conversions", all);
    for (size_t i = 0; i < l->count; i++) {
        const item *it = &l->items[i];
        if (!it->there)
            continue;
        char when[32];
        struct tm utc;
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&it->used, &utc));
        cJSON *one = cJSON_CreateObject();
        add_text(one, "path", it->slot.files[CACHE_ENTRY]);
        cJSON_AddNumberToObject(one, "bytes", (double)it->bytes);
        if (it->source)
            add_text(one, "source", it->source);
        else
            cJSON_AddNullToObject(one, "source");
        cJSON_AddStringToObject(one, "state", it->state);
        cJSON_AddStringToObject(one, "last_used", when);
        cJSON_AddItemToArray(all, one);
    }
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    free(text);
    cJSON_Delete(root);
}

static void print_text(const listing *l)
{
    char size[32], when[32], line[4096];
    size_t shown = 0;
    for (size_t i = 0; i < l->count; i++) {
        const item *it = &l->items[i];
        if (!it->there)
            continue;
        struct tm here;
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime_r(&it->used, &here));
        printf("%10s  %s  %-10s  %s\n", bytes_text(it->bytes, size), when, it->state,
               it->source ? plain_text(it->source, line, sizeof line) : "(source unknown)");
        printf("%*s%s\n", 42, "", plain_text(it->slot.files[CACHE_ENTRY], line, sizeof line));
        shown++;
    }
    printf("%10s  in %zu conversion%s under %s\n", bytes_text(l->bytes, size), shown, shown == 1 ? "" : "s",
           plain_text(l->folder, line, sizeof line));
}

static int cache_list(int argc, char **argv)
{
    bool json = false;
    const option options[] = {
        { "--json", NULL, OPTION_FLAG, &json, 0, 0, "one object: folder, bytes, conversions (path, bytes, source, state, last_used)" },
    };
    static const usage u = { "cache list", "[--json]", "Lists the conversions in the cache, the last used first.",
                             "States: current; changed (the source or this program, the next use converts again); gone (the\n"
                             "source does not exist); unfinished (damaged, being made, or left by one that was killed).", 0 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, NULL, &code))
        return code;
    listing l;
    ash_error err;
    if (read_listing(&l, &err) != ASH_OK)
        code = fail_with(&err);
    else if (json)
        print_json(&l);
    else
        print_text(&l);
    listing_free(&l);
    return code;
}

/* ---- clear ---- */

/* What `file` names: a source, by its slot or, where it is gone, by what the records say; or a conversion by its path. */
static item *find_named(listing *l, const char *file)
{
    cache_source source;
    ash_error ignored;
    item *found = NULL;
    if (cache_source_read(file, &source, &ignored) == ASH_OK && source.path)
        found = find_slot(l, source.slot);
    cache_source_free(&source);
    char *folder = strndup(file, (size_t)(strrchr(file, '/') ? strrchr(file, '/') + 1 - file : 0));
    char *real = folder ? realpath(*folder ? folder : ".", NULL) : NULL;
    char *path = real ? ash_path_join(real, file + strlen(folder)) : strdup(file);
    for (size_t i = 0; path && !found && i < l->count; i++)
        if ((l->items[i].source && strcmp(l->items[i].source, path) == 0) ||
            strcmp(l->items[i].slot.files[CACHE_ENTRY], path) == 0)
            found = &l->items[i];
    free(folder);
    free(real);
    free(path);
    return found;
}

static ash_status clear_item(item *it, uint64_t *freed, ash_error *err)
{
    int lock;
    ASH_TRY(cache_slot_lock(&it->slot, LOCK_EX, NULL, &lock, err));
    ash_status status = cache_slot_remove(&it->slot, true, freed, err);
    if (lock >= 0)
        close(lock);
    return status;
}

static int clear_some(listing *l, const char *const *files, bool gone, size_t *removed, uint64_t *freed)
{
    int code = EXIT_OK;
    ash_error err;
    for (size_t i = 0; files[i]; i++) {
        item *it = find_named(l, files[i]);
        if (!it)
            code = fail("%s: nothing in the cache comes from it; 'ashlar cache list' shows what is there", files[i]);
        else if (clear_item(it, freed, &err) != ASH_OK)
            code = fail_with(&err);
        else
            *removed += it->there, it->there = false;
    }
    for (size_t i = 0; !files[0] && i < l->count; i++) {
        item *it = &l->items[i];
        if (gone && strcmp(it->state, "gone") != 0)
            continue;
        if (clear_item(it, freed, &err) != ASH_OK)
            code = fail_with(&err);
        else
            *removed += it->there;
    }
    return code;
}

static int cache_clear(int argc, char **argv)
{
    bool gone = false;
    const option options[] = {
        { "--gone", NULL, OPTION_FLAG, &gone, 0, 0, "only conversions whose source does not exist any more" },
    };
    static const usage u = { "cache clear", "[FILE...] [--gone]",
                             "Removes conversions from the cache: all, or those of the sources named.",
                             "A conversion that is in use stays readable for who has it open; one that is being made stays.",
                             ANY_ARGUMENTS };
    const char **files = calloc((size_t)argc + 1, sizeof *files);
    int code;
    if (!files)
        return fail("out of memory");
    listing l = { 0 };
    ash_error err;
    if (options_parse(&u, options, sizeof options / sizeof *options, argc, argv, files, &code)) {
        size_t removed = 0;
        uint64_t freed = 0;
        char size[32];
        if (gone && files[0]) {
            code = usage_error(&u, "--gone and FILE exclude each other");
        } else if (read_listing(&l, &err) != ASH_OK) {
            code = fail_with(&err);
        } else {
            code = clear_some(&l, files, gone, &removed, &freed);
            if (removed || code == EXIT_OK)
                fprintf(stderr, "removed %zu conversion%s, %s\n", removed, removed == 1 ? "" : "s", bytes_text(freed, size));
        }
    }
    listing_free(&l);
    free(files);
    return code;
}

int verb_cache(int argc, char **argv)
{
    static const usage u = { "cache", "list|clear", "Shows or clears the cache of converted models: see 'ashlar cache list --help'\n"
                             "and 'ashlar cache clear --help'.",
                             "Verbs that need an .ashlar convert a GGUF or a Hugging Face folder once, into\n"
                             "$XDG_CACHE_HOME/ashlar (else ~/.cache/ashlar), and use that while the source is unchanged.", 1 };
    if (argc > 1 && strcmp(argv[1], "list") == 0)
        return cache_list(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "clear") == 0)
        return cache_clear(argc - 1, argv + 1);
    const char *verb;
    int code;
    if (options_parse(&u, NULL, 0, argc, argv, &verb, &code))
        code = usage_error(&u, "'%s' is neither list nor clear", verb);
    return code;
}
