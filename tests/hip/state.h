/* The stand-in from the inside. One lock guards everything but what a stream's thread does while it copies or
 * interprets; every call of HIP begins with standin_enter, which takes it, and ends with standin_leave. */
#ifndef ASHLAR_TESTS_HIP_STATE_H
#define ASHLAR_TESTS_HIP_STATE_H

#include <pthread.h>

#include "tests/gfx12/machine.h"
#include "tests/hip/standin.h"

#define API __attribute__((visibility("default")))
/* The calls, with C's linkage and no header of HIP beside. */
#define STANDIN_CALL(name, kind, parameters) API int hip##name parameters;
#include "tests/hip/calls.def"
API const char *hipGetErrorString(int code);
API standin_counts_fn standin_counts_now;
API standin_reset_fn standin_reset;
API standin_hold_fn standin_hold;
API standin_error_fn standin_error;

/* ---- devices ---- */

#define CARDS_MAX 8
typedef struct card_info {
    char target[16], name[64], pci[16];
    uint64_t used_bytes;
    int failed; /* 700 or 719, for good */
} card_info;

/* ---- objects ---- */

typedef enum handle_kind { FREE_HANDLE, STREAM, EVENT, MODULE, FUNCTION, GRAPH, GRAPH_EXEC } handle_kind;

typedef struct region {
    struct region *next;
    uint8_t *base;
    size_t bytes;
    uint8_t *mapped; /* with its guards */
    size_t mapped_bytes;
    int card;        /* -1: pinned */
    char name[48];
} region;

typedef struct graph graph;
typedef struct event {
    uint32_t users;    /* the handle, and work that names it */
    bool timed;
    const graph *capture;    /* in which it was last recorded; only compared */
    uint64_t recorded, done; /* numbers of records, from 1 */
    double ms;         /* when the last one was done */
} event;

/* A code object; kept when its module ends, for the next one that loads the same. */
typedef struct code_object {
    struct code_object *next;
    uint8_t *image;
    size_t bytes;
    gfx_code kernels; /* decoded when they are first run: a model uses few of them */
} code_object;

typedef struct module {
    code_object *code;
    int card;
} module;

typedef struct function {
    uint64_t module; /* its handle */
    int card;
    gfx_kernel *kernel;
} function;

/* What a stream does: also a node of a graph. */
typedef enum work_kind { COPY, FILL, LAUNCH, RUN_GRAPH, RECORD, WAIT } work_kind;
typedef struct work {
    struct work *next;
    work_kind kind;
    bool hang, skip;
    int fail;         /* with this code when it runs; 0: no */
    void *to;         /* COPY, FILL */
    const void *from;
    size_t bytes;
    int value, direction;
    uint64_t function; /* LAUNCH: its handle */
    uint32_t grid[3], block[3];
    uint8_t *args;    /* owned, args_bytes */
    size_t args_bytes;
    graph *graph;     /* RUN_GRAPH: used */
    event *event;     /* RECORD, WAIT: used */
    uint64_t number;  /* of the record */
} work;

struct graph { /* captured, and instantiated */
    uint32_t users;
    work *first, *last;
    uint32_t count, kernels;
};

typedef struct stream {
    pthread_t thread;
    int card;
    work *first, *last; /* first: also what runs */
    bool ending, hung;
    graph *capture;     /* under way */
    bool capture_broken;
    pthread_t capturer;
    uint64_t random;
} stream;

/* ---- all of it ---- */

typedef struct failure {
    int call; /* standin_call, or STANDIN_CALLS: any */
    uint64_t number;
    int code;
    bool late, hang, skip;
} failure;

#define FAILURES_MAX 16
typedef struct standin {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything */
    card_info cards[CARDS_MAX];
    int card_count;
    uint64_t memory_bytes, delay_us, seed;
    bool held;
    region *regions;
    uint64_t region_number;
    failure failures[FAILURES_MAX];
    size_t failure_count;
    uint64_t counted[STANDIN_CALLS + 1]; /* for failures: [STANDIN_CALLS] of any kind */
    standin_counts counts;
} standin;
extern standin all;

/* ---- calls (call.c) ---- */

/* Takes the lock and counts the call. Not 0: the call gives this code and does nothing, after standin_leave. */
int standin_enter(standin_call call);
/* The two halves of it, for calls that look before they count. */
void standin_begin(standin_call call);
int standin_admit(standin_call call);
/* What ASHLAR_STANDIN_FAIL and _HANG say of the work that this call enqueues. */
void standin_mark(standin_call call, work *w);
/* Gives the lock back. `code`, or of a release that succeeded the device's error. */
int standin_leave(standin_call call, int code);
/* Writes a line of the report; gives `code`. */
int standin_refuse(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *standin_call_name(int call); /* "hipMalloc" */
int standin_card(void); /* of this thread; -1 where there is none */
void standin_read_environment(void);
void standin_write_report(void);
void standin_forget_errors(void);

/* ---- handles (handle.c): numbers that are never given out twice, so that what has ended is known ---- */

uint64_t standin_handle_new(handle_kind kind, void *object); /* 0: out of memory */
/* NULL after a line in the report: none, ended, or of another kind. */
void *standin_handle_find(const void *handle, handle_kind kind);
void standin_handle_end(const void *handle);
/* What lives, one after the other from *index = 0; ends the handles where asked to. */
void *standin_handle_next(size_t *index, handle_kind kind, bool end);
static inline void *standin_pointer(uint64_t handle) { return (void *)(uintptr_t)handle; }

/* ---- memory (memory.c) ---- */

/* The live region that holds [p, p + bytes), of a card or (-1) pinned; NULL where there is none. */
const region *standin_region(const void *p, size_t bytes, int card);
bool standin_is_device(const void *p); /* of any card */
/* Says where p is, for a message. */
const char *standin_where(const void *p, char room[96]);
/* A card's allocations as the interpreter takes them; the caller frees. */
gfx_buffer *standin_buffers(int card, size_t *count);
void standin_free_memory(void);

/* ---- streams (stream.c) ---- */

/* Waits for everything on a card's streams; -1: all cards. */
void standin_wait_idle(int card);
/* Enqueues *w on the stream, or captures it; takes over what it owns. The code of the call. */
int standin_enqueue(stream *s, work *w);
work *standin_work_new(work_kind kind);
void standin_work_free(work *w);
void standin_event_drop(event *e);
void standin_graph_drop(graph *g);
/* Whether the calling thread captures; breaks those captures where `and_break`. */
bool standin_capturing(bool and_break);
/* Waits for its work and its thread, frees it. */
void standin_stream_end(stream *s);

/* ---- running (work.c) ---- */

/* Does what *w says, with the lock, which is given back meanwhile. 0, or what is the card's error from then on. */
int standin_run(const work *w, int card, uint64_t seed);
/* Counts bytes of a copy or a fill. */
void standin_count_work(const work *w);

/* ---- modules (module.c) ---- */

/* NULL after a line in the report: also where its module has ended. */
const function *standin_function_find(const void *handle);

#endif
