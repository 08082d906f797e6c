/* Memory that the system may write out: pieces of an unlinked temporary file. */
#ifndef ASHLAR_COMMAND_SPILL_H
#define ASHLAR_COMMAND_SPILL_H

#include <stdint.h>

#include "format/status.h"

#define SPILL_ALIGN 65536 /* a piece has a multiple of this many bytes */

typedef struct spill_file {
    int fd;             /* -1: not open */
    uint64_t bytes;
    const char *beside;
} spill_file;

/* In the folder of `beside`, which must outlive it. */
ash_status spill_open(spill_file *s, const char *beside, ash_error *err);
/* A piece of zeros, for munmap by the caller; disk space for it is there. */
ash_status spill_map(spill_file *s, uint64_t bytes, void **out, ash_error *err);
void spill_close(spill_file *s); /* pieces stay until they are unmapped */

#endif
