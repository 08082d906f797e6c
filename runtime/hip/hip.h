/* ROCm's HIP runtime, loaded when it is asked for: one binary serves machines with and without it.
 *
 * Only calls whose binary interface is the same in HIP 5, 6 and 7 (calls.def); types and constants are declared here,
 * so that no header of ROCm is needed to build. Constants: hip_runtime_api.h, driver_types.h of HIP.
 */
#ifndef ASHLAR_RUNTIME_HIP_HIP_H
#define ASHLAR_RUNTIME_HIP_HIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/status.h"

typedef struct ash_hip_stream ash_hip_stream;
typedef struct ash_hip_event ash_hip_event;
typedef struct ash_hip_module ash_hip_module;
typedef struct ash_hip_function ash_hip_function;
typedef struct ash_hip_graph ash_hip_graph;
typedef struct ash_hip_graph_exec ash_hip_graph_exec;

enum { /* hipError_t, as far as it is looked at */
       ASH_HIP_SUCCESS = 0,
       ASH_HIP_INVALID_VALUE = 1,
       ASH_HIP_OUT_OF_MEMORY = 2,
       ASH_HIP_NO_DEVICE = 100,
       ASH_HIP_INVALID_DEVICE = 101, /* what initializing gives without a card, in some versions */
       ASH_HIP_NO_BINARY = 209,      /* hipErrorNoBinaryForGpu: a code object for another card */
       ASH_HIP_NOT_READY = 600,
       ASH_HIP_NOT_SUPPORTED = 801,
};
enum { ASH_HIP_TO_DEVICE = 1, ASH_HIP_TO_HOST = 2, ASH_HIP_ON_DEVICE = 3 }; /* hipMemcpyKind */
enum { ASH_HIP_STREAM_NON_BLOCKING = 1 };                       /* hipStreamCreateWithFlags */
enum { ASH_HIP_EVENT_TIMING = 0, ASH_HIP_EVENT_NO_TIMING = 2 }; /* hipEventCreateWithFlags */
enum { ASH_HIP_CAPTURE_THREAD = 1 };                            /* hipStreamCaptureModeThreadLocal */
#define ASH_HIP_ARGS ((void *)(uintptr_t)1)                     /* HIP_LAUNCH_PARAM_BUFFER_POINTER */
#define ASH_HIP_ARGS_BYTES ((void *)(uintptr_t)2)               /* HIP_LAUNCH_PARAM_BUFFER_SIZE */
#define ASH_HIP_ARGS_END ((void *)(uintptr_t)3)                 /* HIP_LAUNCH_PARAM_END */

typedef struct ash_hip {
    void *library;
    char path[256]; /* what was loaded */
    int version;    /* of the runtime: 5.2.3 is 50201..., as hipRuntimeGetVersion gives it; 0: unknown */
#define ASH_HIP_CALL(name, parameters) int(*name) parameters;
#include "runtime/hip/calls.def"
    const char *(*GetErrorString)(int error);
} ash_hip;

/* Loads ASHLAR_HIP_LIBRARY where the environment names it, else libamdhip64.so.7, .6, .5, .so, the first one that has
 * every call. ASH_E_UNSUPPORTED with the reason where there is none. `out` is not touched by other threads while it is
 * loaded. */
ash_status ash_hip_load(ash_hip *out, ash_error *err);
/* The runtime's version, "5.2.21153". */
const char *ash_hip_version(const ash_hip *hip, char out[32]);
/* Forgets the library but leaves it loaded: its own threads may still run. */
void ash_hip_unload(ash_hip *hip);

/* Waits for an event: ASH_OK, the error that it or an earlier call has left behind, or after `timeout_ms` ASH_E_LIMIT with
 * "what: no answer for N seconds"; ash_hip_hangs is true from then on, and nothing of HIP may be called any more. */
ash_status ash_hip_wait(const ash_hip *hip, ash_hip_event *event, uint32_t timeout_ms, const char *what, ash_error *err);
bool ash_hip_hangs(void);
/* What a wait that is over its time says of itself. */
ash_status ash_hip_hang(uint32_t timeout_ms, const char *what, ash_error *err);

/* "what: reason (hipError 2)" as ASH_E_MEMORY for ASH_HIP_OUT_OF_MEMORY, ASH_E_UNSUPPORTED for
 * ASH_HIP_NOT_SUPPORTED, else ASH_E_IO; ASH_OK for success. */
ash_status ash_hip_check(const ash_hip *hip, int code, ash_error *err, const char *what);

#endif
