/* What output.c and output_folder.c share: names that a signal handler removes (ash_output_unlink_all). */
#ifndef ASHLAR_FORMAT_OUTPUT_INTERNAL_H
#define ASHLAR_FORMAT_OUTPUT_INTERNAL_H

#include <stddef.h>

/* Enters a file or a folder, which goes after all files. NULL where the list is full or memory is short: the handler
 * merely does not know it. */
char *ash_live_add(const char *path);
void ash_live_remove(char *name); /* of ash_live_add; NULL is fine */

/* Fills the six last characters of a name at random. False where the kernel gives no random bytes. */
_Bool ash_output_random_end(char *name);

/* "dir/" of a path with its slash, or "" for a name in the current folder: its length. */
size_t ash_output_folder_length(const char *path);
/* Makes a name in the folder of `path` durable, as far as the file system lets it. */
void ash_output_sync_folder(const char *path);

#endif
