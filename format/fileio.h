/* Files: read-only maps, positioned reads, whole small files, and atomic output files. */
#ifndef ASHLAR_FORMAT_FILEIO_H
#define ASHLAR_FORMAT_FILEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/status.h"

/* A file that is read by position: what the converters use, so that resident memory stays bounded. */
typedef struct ash_input {
    int fd;
    uint64_t size;
    char *path;
} ash_input;
/* Opens a regular file (a directory, a FIFO or a device is refused by name). */
ash_status ash_input_open(const char *path, ash_input *out, ash_error *err);
/* Reads exactly `size` bytes at `offset`; a short file is ASH_E_FORMAT "ends at byte ...". Thread-safe. */
ash_status ash_input_read(const ash_input *in, uint64_t offset, void *out, size_t size, ash_error *err);
/* Tells the kernel that [offset, offset + size) will be read next, or is not needed again. */
void ash_input_will_need(const ash_input *in, uint64_t offset, uint64_t size);
void ash_input_done_with(const ash_input *in, uint64_t offset, uint64_t size);
void ash_input_close(ash_input *in);

typedef struct ash_mapping {
    const uint8_t *bytes;
    size_t size;
} ash_mapping;
/* Maps a whole regular file read-only. An empty file gives bytes = NULL, size = 0. */
ash_status ash_map_file(const char *path, ash_mapping *out, ash_error *err);
void ash_unmap_file(ash_mapping *map);

/* A whole file into memory; a NUL follows (not counted). Refuses more than `limit` bytes. Caller frees *out. */
ash_status ash_read_whole(const char *path, size_t limit, char **out, size_t *size, ash_error *err);
bool ash_path_exists(const char *path);
/* "dir/name"; caller frees; NULL when out of memory. */
char *ash_path_join(const char *dir, const char *name);

/* Whether the disk of `path` has room for a file of `bytes`; ASH_E_IO, before anything is written, where it has not. */
ash_status ash_check_space(const char *path, uint64_t bytes, ash_error *err);

/* An output that appears under its name only when complete. Until then it is a hidden file ".NAME.XXXXXX" in the same
 * folder. Without `replace` an existing target is refused, at creation and again, without a race, at commit. */
typedef struct ash_output ash_output;
ash_status ash_output_create(const char *path, bool replace, ash_output **out, ash_error *err);
ash_status ash_output_append(ash_output *o, const void *bytes, size_t size, ash_error *err); /* buffered */
ash_status ash_output_pad(ash_output *o, uint64_t align, ash_error *err);                    /* zeros up to a multiple */
uint64_t ash_output_position(const ash_output *o);
/* Overwrites bytes that were already appended. */
ash_status ash_output_rewrite(ash_output *o, uint64_t offset, const void *bytes, size_t size, ash_error *err);
/* Flush, fsync, rename, fsync of the folder; frees o in any case. */
ash_status ash_output_commit(ash_output *o, ash_error *err);
/* All of it in one call. */
ash_status ash_write_whole(const char *path, bool replace, const void *bytes, size_t size, ash_error *err);
void ash_output_abort(ash_output *o); /* removes the temporary file; frees o; NULL is fine */
/* A folder of files that appears under its name only when all of them are there. Until then it is a hidden folder
 * ".NAME.XXXXXX" beside it. The target may be an empty folder; with `replace` one that holds nothing but names that
 * `ours` knows, so that no folder of another kind is lost; its files go when the new ones stand in its place. */
typedef struct ash_folder ash_folder;
ash_status ash_folder_create(const char *path, bool replace, bool (*ours)(const char *name), ash_folder **out,
                             ash_error *err);
/* Where to write a file of it; caller frees; NULL when out of memory. */
char *ash_folder_file(ash_folder *f, const char *name);
ash_status ash_folder_commit(ash_folder *f, ash_error *err); /* frees f in any case */
void ash_folder_abort(ash_folder *f); /* removes what was written; frees f; NULL is fine */

/* Removes the temporary files of all outputs that are not committed yet. Async-signal-safe: for a handler that ends the
 * process; an output that is used afterwards fails at commit. */
void ash_output_unlink_all(void);

#endif
