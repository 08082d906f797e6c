/* From what a user names to an .ashlar that can be opened, by way of the cache; the contract is in cache.h. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/convert.h"
#include "format/fileio.h"
#include "runtime/command/cache.h"
#include "runtime/command/command.h"

/* ---- converting ---- */

typedef struct conversion {
    progress p;
    const cache_source *source;
    const char *output;
    const char *again; /* why, where it has been converted before; else "" */
} conversion;

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    return progress_update(&((conversion *)context)->p, done, total);
}

static void on_note(void *context, const char *line) { progress_note(&((conversion *)context)->p, line); }

static void on_begin(void *context, uint64_t bytes)
{
    const conversion *c = context;
    char size[32];
    fprintf(stderr, "converting %s once%s, into %s (%s)\n", c->source->path, c->again, c->output,
            bytes_text(bytes, size));
}

/* What may help against a cache that cannot be written, behind an error that names one of its files. */
static ash_status with_hint(const char *folder, ash_error *err)
{
    if (err->status != ASH_E_IO || strncmp(err->text, folder, strlen(folder)) != 0)
        return err->status;
    char text[ASH_ERROR_MAX];
    memcpy(text, err->text, sizeof text);
    return ash_fail(err, err->status, "%s; XDG_CACHE_HOME can name another folder for the cache, "
                    "and 'ashlar convert SRC -o OUT.ashlar' does without", text);
}

/* Conversions whose source has been deleted help nobody, and only the user knows whether it comes back. */
static void tell_gone(const char *folder)
{
    uint64_t bytes = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char name[CACHE_SLOT_MAX];
        bool entry, temporary;
        cache_slot slot;
        ash_error ignored;
        if (!cache_slot_of(e->d_name, name, &entry, &temporary) || !entry ||
            cache_slot_open(folder, name, &slot, &ignored) != ASH_OK)
            continue;
        char *source = cache_slot_source(&slot);
        struct stat st;
        if (source && !ash_path_exists(source) && stat(slot.files[CACHE_ENTRY], &st) == 0)
            bytes += (uint64_t)st.st_size;
        free(source);
        cache_slot_free(&slot);
    }
    if (d)
        closedir(d);
    char size[32];
    if (bytes)
        fprintf(stderr, "the cache holds %s of models that are gone: 'ashlar cache clear --gone' frees it\n",
                bytes_text(bytes, size));
}

static const char *why_again(const cache_source *source, const cache_slot *slot)
{
    cache_record record;
    char *before = cache_slot_source(slot);
    if (!before)
        return "";
    free(before);
    if (!cache_slot_record(slot, &record))
        return " more, as the last conversion is damaged or removed";
    free(record.source);
    return strcmp(record.key, source->key) == 0 ? "" : " more, as it or this program has changed";
}

/* The caller has the slot's lock alone. */
static ash_status convert(const cache_source *source, const cache_slot *slot, ash_error *err)
{
    uint64_t freed = 0;
    conversion c = { .source = source, .output = slot->files[CACHE_ENTRY], .again = why_again(source, slot) };
    /* What is there is of no use any more, and its bytes may be the ones that are needed. */
    ASH_TRY(cache_slot_remove(slot, false, &freed, err));
    handle_interrupt();
    progress_start(&c.p, "convert");
    const ash_convert_options options = { .type = ASH_TYPE_KEEP, .force = true, .progress = on_progress,
                                          .note = on_note, .begin = on_begin, .context = &c };
    ash_status status = ash_convert(source->path, c.output, &options, NULL, err);
    progress_end(&c.p);
    if (status == ASH_OK)
        status = cache_slot_write_record(slot, source->key, source->path, err);
    restore_interrupt();
    seconds_set_aside(seconds_now() - c.p.started);
    if (status == ASH_OK)
        tell_gone(slot->folder);
    return status;
}

/* ---- opening ---- */

static bool is_current(const cache_source *source, const cache_slot *slot)
{
    cache_record record;
    if (!cache_slot_record(slot, &record))
        return false;
    bool current = strcmp(record.key, source->key) == 0 && strcmp(record.source, source->path) == 0;
    free(record.source);
    return current;
}

/* *lock: shared, as long as the caller holds it; -1 where there can be none. `made`: whether the folder is there to be
 * written; a cache that can only be read still gives what it has. */
static ash_status find_or_convert(const cache_source *source, const cache_slot *slot, ash_status made, int *lock,
                                  ash_error *err)
{
    char what[ASH_ERROR_MAX];
    snprintf(what, sizeof what, "another ashlar converts %s", source->path);
    ash_status status = made == ASH_OK ? cache_slot_lock(slot, LOCK_SH, what, lock, err) : made;
    if (status != ASH_E_CANCELLED && is_current(source, slot))
        return ASH_OK;
    ASH_TRY(status);
    if (*lock >= 0)
        close(*lock);
    ASH_TRY(cache_slot_lock(slot, LOCK_EX, what, lock, err));
    if (!is_current(source, slot)) /* another process may have been faster */
        ASH_TRY(convert(source, slot, err));
    if (*lock >= 0)
        flock(*lock, LOCK_SH);
    return ASH_OK;
}

static ash_status open_source(const cache_source *source, cached *out, ash_error *err)
{
    char *folder;
    cache_slot slot = { 0 };
    ASH_TRY(cache_folder(&folder, err));
    ash_status status = cache_slot_open(folder, source->slot, &slot, err);
    if (status == ASH_OK)
        status = find_or_convert(source, &slot, cache_make_folder(folder, err), &out->lock, err);
    if (status != ASH_OK) {
        status = with_hint(folder, err);
    } else {
        cache_slot_touch(&slot);
        out->converted = true;
        out->path = slot.files[CACHE_ENTRY];
        slot.files[CACHE_ENTRY] = NULL;
    }
    cache_slot_free(&slot);
    free(folder);
    return status;
}

ash_status cache_open(const char *given, cached *out, ash_error *err)
{
    *out = (cached){ .lock = -1 };
    cache_source source;
    ASH_TRY(cache_source_read(given, &source, err));
    ash_status status = ASH_OK;
    if (source.direct) {
        out->path = source.direct;
        source.direct = NULL;
    } else {
        status = open_source(&source, out, err);
    }
    cache_source_free(&source);
    if (status != ASH_OK)
        cache_close(out);
    return status;
}

void cache_close(cached *c)
{
    if (c->lock >= 0)
        close(c->lock);
    free(c->path);
    c->path = NULL, c->lock = -1;
}
