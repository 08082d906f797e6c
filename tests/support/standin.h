/* Calls of the stand-in for HIP, made by a test itself: its functions, and objects of its. What fails ends the test. */
#ifndef ASHLAR_TESTS_SUPPORT_STANDIN_H
#define ASHLAR_TESTS_SUPPORT_STANDIN_H

#include "kernels/gfx12/gfx12.h"
#include "tests/hip/standin.h"
#include "tests/support/support.h"

typedef struct standin_library {
#define STANDIN_CALL(name, kind, parameters) int(*name) parameters;
#include "tests/hip/calls.def"
    standin_counts_fn *counts;
    standin_reset_fn *reset;
    standin_hold_fn *hold;
    standin_error_fn *error;
} standin_library;
extern standin_library hip; /* after standin_open */

#define OK(call) assert_int_equal(call, STANDIN_SUCCESS)
#define GIVES(code, call) assert_int_equal(call, code)

const char *standin_path(char out[512]); /* of the library, in the build's folder */
int standin_open(void **state);
/* Variables of the environment for one test, without ASHLAR_STANDIN_, each with its value; NULL ends the list. Everything
 * is reset. */
void standin_with(const char *name, ...);
int standin_start(void **state); /* none of them */
standin_counts standin_count(void);
/* Some line of the report holds `part`. */
void standin_told(const char *part);

standin_stream *standin_new_stream(void);
standin_event *standin_new_event(void);
void *standin_new_device(size_t bytes);
void *standin_new_pinned(size_t bytes);
int standin_wait_event(standin_event *e);
/* For everything on the stream; the code that waiting gives. */
int standin_wait_stream(standin_stream *s);

/* ---- a kernel: the softmax of kernels/gfx12/sample.hip ---- */

#define LOGITS 64
typedef struct standin_softmax {
    standin_module *module;
    standin_function *function;
    const ash_gfx_kernel *kernel;
    ash_gfx_sample args;
    float *logits, *values, *host; /* device, device, pinned */
} standin_softmax;
const ash_gfx_object *standin_sample_object(ash_gfx_target target);
/* Of equal logits, which are on their way by `s`. */
standin_softmax standin_softmax_new(standin_stream *s);
int standin_launch_shaped(const standin_softmax *m, unsigned grid, unsigned block, size_t bytes, standin_stream *s);
int standin_launch(const standin_softmax *m, standin_stream *s);
void standin_check_softmax(const standin_softmax *m, standin_stream *s);
/* A graph of `nodes` launches. */
standin_graph_exec *standin_capture(const standin_softmax *m, standin_stream *s, int nodes);

#endif
