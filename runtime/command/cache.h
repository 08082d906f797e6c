/* The cache of conversions: what lets every verb take a GGUF or a Hugging Face folder where it needs an .ashlar.
 *
 * A source has one slot in $XDG_CACHE_HOME/ashlar (else $HOME/.cache/ashlar), named after the source's absolute path:
 *
 *   NAME-<16 hex>.ashlar   the conversion, with --type keep
 *   NAME-<16 hex>.source   "ashlar cache 1 KEY HEADER\n", then the source's path to the end; its mtime is the last use
 *   NAME-<16 hex>.lock     locked (flock) shared while a conversion is being opened, alone while one is made or removed
 *
 * KEY says what the conversion was made of and by: for every file that a conversion reads, its name, the path behind
 * its links, size, mtime in nanoseconds and three samples of 4 KiB (first, middle, last); and the versions of program,
 * converter, container, tokenizer section and layouts. Hashing whole files would cost seconds for each start of a large
 * model. Not part of it: inode and device numbers, which change at each mount of FAT and of many network and FUSE file
 * systems. A change that keeps path, size, mtime and all samples goes unnoticed: an edit in place, between the samples,
 * by a program that sets the old time again. HEADER is the hash in the .ashlar's header, which covers the whole file: a
 * record beside another conversion than its own is no record.
 *
 * One slot a source: a source that has changed, or a program of another version, replaces what is there, so that
 * nothing is left behind. A conversion appears under its name only when it is complete; what a killed one leaves is
 * removed by the next for this source, and by `ashlar cache clear`. Who has mapped a conversion keeps it when it is
 * replaced or removed.
 */
#ifndef ASHLAR_COMMAND_CACHE_H
#define ASHLAR_COMMAND_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "format/status.h"

/* ---- for verbs ---- */

/* A file that can be loaded as an .ashlar. */
typedef struct cached {
    char *path;     /* as the user named it, or in the cache */
    bool converted; /* it is a conversion in the cache */
    int lock;       /* held until cache_close, or -1 */
} cached;

/* `given`: an .ashlar (told by its first bytes); or a GGUF, a folder, or a safetensors file or index in one, which is
 * converted first where the cache does not have it, with a line and a progress bar on stderr. A folder without
 * safetensors that holds one .ashlar stands for that. Anything else is passed through for the reader to refuse.
 * Waits, saying so, while another process converts the same source. */
ash_status cache_open(const char *given, cached *out, ash_error *err);
/* After cache_open, whatever it gave: as soon as the file has been opened or mapped. */
void cache_close(cached *c);

/* ---- sources ---- */

#define CACHE_NAME_MAX 80
#define CACHE_SLOT_MAX (CACHE_NAME_MAX + 18)

typedef struct cache_source {
    char *direct; /* nothing to convert: the file to open. Else NULL, and the rest is filled in. */
    char *path;   /* absolute: the folder, or the file (of a split GGUF the first part), which may itself be a link */
    char slot[CACHE_SLOT_MAX]; /* "NAME-<16 hex>" */
    char key[33];
} cache_source;

ash_status cache_source_read(const char *given, cache_source *out, ash_error *err);
void cache_source_free(cache_source *s); /* zeroed is fine */

/* ---- slots ---- */

typedef enum cache_file { CACHE_ENTRY, CACHE_RECORD, CACHE_LOCK, CACHE_FILES } cache_file;

typedef struct cache_slot {
    char name[CACHE_SLOT_MAX];
    char *folder;
    char *files[CACHE_FILES]; /* paths, whether they exist or not */
} cache_slot;

typedef struct cache_record {
    char key[33], header[33];
    char *source; /* free() */
    time_t used;
} cache_record;

/* Where the cache's folder is, or shall be; caller frees. */
ash_status cache_folder(char **out, ash_error *err);
/* Creates it (mode 0700) with what is missing above it. */
ash_status cache_make_folder(const char *folder, ash_error *err);
ash_status cache_slot_open(const char *folder, const char *name, cache_slot *out, ash_error *err);
void cache_slot_free(cache_slot *s); /* zeroed is fine */
/* True when `file` is one of a slot's files, whose name is then in `slot`; *entry: it is the conversion, *temporary: it
 * is what a writer left or still writes. */
bool cache_slot_of(const char *file, char slot[CACHE_SLOT_MAX], bool *entry, bool *temporary);

/* False when there is no record, or none that fits the conversion beside it, which opens (its data are not read). */
bool cache_slot_record(const cache_slot *s, cache_record *out);
ash_status cache_slot_write_record(const cache_slot *s, const char *key, const char *source, ash_error *err);
/* The record's source, whatever the conversion is; NULL when there is none. Caller frees. */
char *cache_slot_source(const cache_slot *s);
void cache_slot_touch(const cache_slot *s); /* it is being used */

/* `how`: LOCK_SH or LOCK_EX. Waits; after a moment prints "waiting: WHAT" (NULL: gives up instead, ASH_E_LIMIT).
 * close(*fd) unlocks; *fd is -1 where the file system has no locks. */
ash_status cache_slot_lock(const cache_slot *s, int how, const char *what, int *fd, ash_error *err);
/* Removes the conversion, its record and temporary files, and adds up their bytes; the caller has the lock, whose file
 * goes too with `lock_file`. */
ash_status cache_slot_remove(const cache_slot *s, bool lock_file, uint64_t *bytes, ash_error *err);

#endif
