/* Where a pass spends its time: one record for each operation of each layer, to whoever asks.
 *
 * A backend hands its records to the session's `profile` from one thread, in the order of execution, each after its
 * operation has ended (other threads may be in the next one). Their seconds add up to the time of the pass, from its
 * first operation on:
 *   on the CPU, an operation has the time that the threads spent in it on average (operations of one phase go on side
 *   by side), and "waits" what is left of the phase: barriers, handing out, threads that ran out of work;
 *   on a card, a launch has the time between the events around it.
 * Off (fn NULL), a phase costs one comparison more.
 */
#ifndef ASHLAR_RUNTIME_PROFILE_H
#define ASHLAR_RUNTIME_PROFILE_H

#include <stdint.h>

#include "format/container.h"
#include "format/dtype.h"

/* Which multiply-adds an operation does: they have limits of their own. */
typedef enum ash_unit {
    ASH_UNIT_F32,
    ASH_UNIT_INT8,
    ASH_UNIT_F16,
    ASH_UNIT_BF16,
    ASH_UNIT_FP8,
    ASH_UNIT_COUNT
} ash_unit;

typedef struct ash_profile_record {
    const char *name; /* lives as long as the program: "matrix", "attention"; on a card the kernel's */
    uint32_t layer;   /* or ASH_NO_LAYER */
    ash_role role;    /* QKV (Q, K, V where they are apart), O, GATE_UP (GATE, UP), DOWN, OUTPUT, EMBED; OTHER */
    ash_dtype dtype;  /* of the weights; ASH_DTYPE_COUNT: none */
    ash_unit unit;
    double seconds;
    uint64_t bytes;   /* of weights, or keys and values, that it must read; elsewhere what it reads and writes */
    uint64_t macs;    /* that it does: inputs in 16 bits count twice */
    uint64_t slots;   /* 8-bit ones: those that would fit the steps that it takes of the units (ash_q8_steps); else 0 */
} ash_profile_record;

typedef void ash_profile_fn(void *context, const ash_profile_record *record);

typedef struct ash_profile {
    ash_profile_fn *fn; /* NULL: off */
    void *context;
} ash_profile;

/* ---- the CPU's clock ---- */

/* What a thread may do in a phase, in the order of the records. */
typedef enum ash_slot {
    ASH_SLOT_EMBED,
    ASH_SLOT_INPUTS,
    ASH_SLOT_PART, /* and the two that follow: ash_linear.part[i] */
    ASH_SLOT_ROTATE = ASH_SLOT_PART + 3,
    ASH_SLOT_ATTENTION,
    ASH_SLOT_FOLD, /* SwiGLU, or bias and addition to x */
    ASH_SLOT_COUNT
} ash_slot;

/* A thread's own. What it spends in a phase is written before the phase's barrier and read by thread 0 after it; by
 * then the others may be in the next phase, and no further: hence two places. */
typedef struct ash_profile_clock {
    _Alignas(64) int64_t since; /* ns */
    int64_t spent[2][ASH_SLOT_COUNT];
    uint32_t phase;
} ash_profile_clock;

/* What thread 0 is in, for its records. */
typedef struct ash_profile_place {
    uint32_t layer;
    ash_role role;
    const struct ash_linear *op; /* NULL: attention, the embedding */
    int64_t tokens;
    int64_t keys_read, keys_seen; /* attention: positions of the caches that any token sees, and of each together */
    int64_t since; /* when the phase began */
} ash_profile_place;

/* Only while s->profile.fn is set. Every thread begins a pass with start; `spent` gives the time since the last call of
 * any of these to a slot; `phase` follows each barrier, and hands thread 0's records over. */
struct ashlar_session;
void ash_profile_start(struct ashlar_session *s, uint32_t thread);
void ash_profile_spent(struct ashlar_session *s, uint32_t thread, ash_slot slot);
void ash_profile_phase(struct ashlar_session *s, uint32_t thread);

#endif
