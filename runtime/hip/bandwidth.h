/* What a card's memory and its link to the host move, measured by copies. */
#ifndef ASHLAR_RUNTIME_HIP_BANDWIDTH_H
#define ASHLAR_RUNTIME_HIP_BANDWIDTH_H

#include "runtime/hip/hip.h"

typedef struct ash_bandwidth { /* bytes a second; the best of some tries */
    double up, down; /* host to card and back, from pinned memory */
    double on_card;  /* read and written by a copy within the card's memory: both count */
} ash_bandwidth;

/* `bytes`: of a copy; two such allocations on the card and one pinned one are made and given back. */
ash_status ash_hip_bandwidth(const ash_hip *hip, int device, size_t bytes, uint32_t timeout_ms, ash_bandwidth *out,
                             ash_error *err);

#endif
