/* A stand-in for libamdhip64, built as build/libamdhip64-standin.so: what we call of HIP, with kernels run by the
 * interpreter of tests/gfx12. A program takes it through ASHLAR_HIP_LIBRARY; a test may open it as well and count.
 *
 * It is stricter than a driver: whatever works there only by luck is refused here, with a line on stderr ("standin:
 * ...") and in the report. Such are host memory of an asynchronous copy that is not pinned, a range that leaves its
 * allocation, arguments of another size than the kernel's, handles after their end, the default stream.
 *
 * Memory: device allocations lie between pages that nobody may touch, and their addresses are never given out again.
 * Fresh memory, device and pinned, is 0xff: NaN in every format of floats. Kernels may touch live allocations of their
 * device only.
 *
 * Order: each stream has a thread. Copies read their source when they run, not when they are enqueued. Giving back
 * memory, a module or a stream waits for the work of the device or the stream, as drivers do.
 *
 * Errors of a kernel (out of bounds, a register read before it is written, a race) or of a copy that runs are 700 or
 * 719, and stay: every later call on that device gives the code, and work behind is dropped. Releases give back what
 * they should nevertheless.
 *
 * Capture: launches, copies and fills of a stream become nodes with their arguments; events that are recorded there
 * are marks of the capture and are never ready. A graph of 200 nodes or more runs its 200th and later ones with
 * pointers that lead nowhere, as drivers exist that read stale ones.
 *
 * Environment, read when the library is loaded and by standin_reset:
 *   ASHLAR_STANDIN_CARDS   "gfx1201:AMD Radeon RX 9070 XT,gfx1100:...", target and name of each card (default: that
 *                          first one); empty: none. They are at PCI 0000:03:00.0, 0000:04:00.0 and so on.
 *   ASHLAR_STANDIN_MEMORY  bytes of each card, default 16 GiB
 *   ASHLAR_STANDIN_DELAY   microseconds: each copy, fill and launch starts up to so much later
 *   ASHLAR_STANDIN_SEED    of those delays and of the order of waves, default 1
 *   ASHLAR_STANDIN_FAIL    "Malloc:3,MemcpyAsync:2=719,ModuleLaunchKernel:5~719,*:17": the 3rd hipMalloc fails, the
 *                          2nd copy gives 719, the 5th launch succeeds and fails with 719 when it runs ("~0": does
 *                          nothing then, and nobody is told), the 17th call of any kind fails but releases. Without a code: 2 of Malloc and HostMalloc, 999 of others.
 *                          700 and 719 stay. A call of EventQuery that gives 600 is not counted, so that numbers do
 *                          not depend on time.
 *   ASHLAR_STANDIN_HANG    "ModuleLaunchKernel:7": the 7th launch never ends (also MemcpyAsync, MemsetAsync,
 *                          GraphLaunch)
 *   ASHLAR_STANDIN_REPORT  where the counts go as JSON when the program ends, and when a launch begins to hang
 *   ASHLAR_KFD_NODES       where there is no such folder it is made, with the properties of these cards as the kernel
 *                          driver shows them
 */
#ifndef ASHLAR_TESTS_HIP_STANDIN_H
#define ASHLAR_TESTS_HIP_STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct standin_stream standin_stream;
typedef struct standin_event standin_event;
typedef struct standin_module standin_module;
typedef struct standin_function standin_function;
typedef struct standin_graph standin_graph;
typedef struct standin_graph_exec standin_graph_exec;

typedef enum standin_call {
#define STANDIN_CALL(name, kind, parameters) STANDIN_##name,
#include "tests/hip/calls.def"
    STANDIN_CALLS
} standin_call;

enum { /* hipError_t, as far as it is given */
       STANDIN_SUCCESS = 0,
       STANDIN_INVALID_VALUE = 1,
       STANDIN_OUT_OF_MEMORY = 2,
       STANDIN_NO_DEVICE = 100,
       STANDIN_INVALID_DEVICE = 101,
       STANDIN_INVALID_IMAGE = 200,
       STANDIN_NO_BINARY = 209, /* a code object for another target */
       STANDIN_INVALID_HANDLE = 400,
       STANDIN_ILLEGAL_STATE = 401,
       STANDIN_NOT_FOUND = 500,
       STANDIN_NOT_READY = 600,
       STANDIN_ILLEGAL_ADDRESS = 700,
       STANDIN_LAUNCH_FAILURE = 719,
       STANDIN_CAPTURE_UNSUPPORTED = 900,
       STANDIN_CAPTURE_INVALIDATED = 901,
       STANDIN_CAPTURE_ISOLATION = 905, /* waits for an event of outside */
       STANDIN_CAPTURED_EVENT = 907,
       STANDIN_CAPTURE_WRONG_THREAD = 908,
       STANDIN_UNKNOWN = 999,
};
enum { STANDIN_TO_DEVICE = 1, STANDIN_TO_HOST = 2, STANDIN_ON_DEVICE = 3, STANDIN_DIRECTIONS };
#define STANDIN_GRAPH_NODES 200 /* from the 200th node on arguments are stale */

/* What was done since the library was loaded, or since standin_reset. Counts of calls include those that failed; all
 * others are of what succeeded. */
typedef struct standin_counts {
    uint64_t calls[STANDIN_CALLS];
    uint64_t counted; /* calls of any kind, as "*:N" of ASHLAR_STANDIN_FAIL counts them */
    uint64_t copies[STANDIN_DIRECTIONS], copied_bytes[STANDIN_DIRECTIONS]; /* by direction; [0] unused */
    uint64_t fills, filled_bytes;
    uint64_t launches;                     /* of kernels, by themselves */
    uint64_t graph_launches, graph_kernels; /* and the launches of kernels in those */
    uint64_t captures;                     /* begun */
    uint64_t unpinned;                     /* copies refused for their host memory */
    uint64_t errors;                       /* lines in the report */
    uint64_t allocations, pinned, streams, events, modules, graphs, graph_execs; /* that live */
    uint64_t device_bytes, peak_bytes, pinned_bytes;
} standin_counts;

/* For dlsym, beside the calls of HIP. */

/* "standin_counts_now" */
typedef void standin_counts_fn(standin_counts *out);
/* "standin_reset": all objects end, counts are 0, the environment is read again. No stream may hang. */
typedef void standin_reset_fn(void);
/* "standin_hold": no stream starts anything until it is let go. */
typedef void standin_hold_fn(bool hold);
/* "standin_error": a line of the report, or NULL; lives until the reset. */
typedef const char *standin_error_fn(uint64_t index);

#endif
