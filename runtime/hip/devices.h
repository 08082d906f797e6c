/* The cards of this machine: what HIP offers, joined with what the kernel driver (KFD) knows of them.
 *
 * The exact target of a card stands in KFD's topology (gfx_target_version 120001 is gfx1201): HIP's own struct of
 * properties changed its layout between versions. The two are joined by the PCI address.
 */
#ifndef ASHLAR_RUNTIME_HIP_DEVICES_H
#define ASHLAR_RUNTIME_HIP_DEVICES_H

#include "kernels/gfx12/gfx12.h"
#include "runtime/hip/hip.h"

#define ASH_DEVICES_MAX 16
/* Where KFD's nodes stand; the environment's ASHLAR_KFD_NODES takes its place (tests). */
#define ASH_KFD_NODES "/sys/class/kfd/kfd/topology/nodes"

typedef struct ash_device {
    int index; /* HIP's number */
    char name[96];
    char pci[24];           /* 0000:03:00.0 */
    uint32_t gfx;           /* KFD's gfx_target_version, 0: unknown */
    char target[16];        /* "gfx1201", "unknown" */
    bool usable;            /* there is code for it */
    ash_gfx_target code;    /* where usable */
    uint32_t compute_units; /* 0: unknown */
    uint64_t memory_free, memory_total;
} ash_device;

typedef struct ash_devices {
    ash_device list[ASH_DEVICES_MAX];
    uint32_t count;
} ash_devices;

/* Asks HIP for its cards. ASH_E_UNSUPPORTED where it has none. The current device is left changed. */
ash_status ash_devices_find(const ash_hip *hip, ash_devices *out, ash_error *err);

/* The card that `wanted` (-1: the first usable one with the most free memory) names. ASH_E_UNSUPPORTED, naming the card
 * and its target, where it cannot be used. */
ash_status ash_devices_choose(const ash_devices *devices, int wanted, const ash_device **out, ash_error *err);

#endif
