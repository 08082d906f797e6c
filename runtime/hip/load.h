/* Weights from the file into the card's memory, while the first layers already compute.
 *
 * Several threads read pieces of the file (O_DIRECT where the file system has it, else pread), no byte twice, into a ring of
 * pinned buffers; each piece is copied by the card on a stream of its own, and its buffer is used again once the copy is done.
 * Nothing goes through a mapping of the file: ROCm copies from those at a crawl.
 */
#ifndef ASHLAR_RUNTIME_HIP_LOAD_H
#define ASHLAR_RUNTIME_HIP_LOAD_H

#include "runtime/hip/hip.h"
#include "runtime/hip/plan.h"

/* A piece: the file's unit of checksums, so that each can be verified by itself. */
#define ASH_LOAD_PIECE ASH_DATA_CHUNK_BYTES
#define ASH_LOAD_READERS 3
#define ASH_LOAD_BUFFERS 4 /* pinned: 64 MiB */

typedef struct ash_load ash_load;

typedef struct ash_load_options {
    bool verify; /* every piece against the file's checksums */
    /* Bytes that the card has got so far and in all; called by a reading thread. May be NULL. */
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
    uint32_t timeout_ms; /* for the copy of a piece */
} ash_load_options;

/* Starts. `to`: the weights' allocation of a placed plan. The plan and the model stay until ash_load_finish. The
 * calling thread's device is the card. */
ash_status ash_load_start(const ash_hip *hip, int device, const ashlar_model *model, const ash_hip_plan *plan,
                          uint64_t to, const ash_load_options *options, ash_load **out, ash_error *err);
/* Makes `stream` wait until the first `bytes` of the allocation are there; waits itself until their copies are under
 * way. Fails where reading, a checksum or a copy did. */
ash_status ash_load_wait(ash_load *load, uint64_t bytes, ash_hip_stream *stream, ash_error *err);
/* Whether everything has arrived. */
bool ash_load_done(ash_load *load);
/* Waits for all of it, or with `cancel` stops early, and frees; nothing is freed once ash_hip_hangs. */
ash_status ash_load_finish(ash_load *load, bool cancel, ash_error *err);

#endif
