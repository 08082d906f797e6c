/* What the card would reach, projected from what kernels count in the interpreter. No figure here is a measurement.
 *
 * A model is a list of launches, those of one decoded token or of one prompt, with the arguments that the runtime gives
 * them (runtime/hip/), in its order. count.c executes some workgroups of each with the real shapes and scales;
 * project.c turns counts into time; report.c, plot.c and svg.c show it.
 *
 * A launch takes max(memory, issue, LDS) + ramp + overhead:
 *   memory   lines of 128 bytes of every buffer, each counted once a launch for reading and once for writing: what a
 *            line is asked for again comes from a cache, but one that is added to (a residual) is fetched and written
 *            back, and takes the bus twice. At ROOF_BANDWIDTH where enough is in flight, else at what the resident
 *            waves have in flight a latency. Workgroups come in rounds of as many as are resident, the last round may
 *            not fill the card.
 *   issue    cycles of the port that vector and matrix instructions share (count.c of the interpreter), workgroups
 *            dealt to 32 work-group processors of 4 SIMDs; at least the longest wave.
 *   LDS      bytes at ROOF_LDS_BYTES a cycle
 *   ramp     ROOF_LATENCY: until the first bytes arrive
 *   overhead of the launch itself: 0, 3 and 5 microseconds are shown
 * Not in it: waits inside a workgroup that no other wave covers (a decoding kernel rounds its inputs behind a barrier,
 * its first weights under way), bandwidth of L2 and of the Infinity Cache, clocks below boost. Activations that the
 * Infinity Cache would hold from one launch to the next count as memory. The first three make a projection too good,
 * the last one too bad.
 */
#ifndef ASHLAR_TESTS_GFX12_ROOFLINE_H
#define ASHLAR_TESTS_GFX12_ROOFLINE_H

#include <stdio.h>

#include "format/meta.h"
#include "kernels/gfx12/gfx12.h"
#include "quant/recipe.h"

/* ---- the card: RX 9070 XT ---- */

#define ROOF_CARD "RX 9070 XT"
#define ROOF_CLOCK 2.97e9          /* boost */
#define ROOF_PROCESSORS 32         /* of 2 compute units, 4 SIMDs, one LDS */
#define ROOF_SIMDS (4 * ROOF_PROCESSORS)
#define ROOF_BANDWIDTH 620e9       /* as users measured: 612 to 633 GB/s */
#define ROOF_PEAK_BANDWIDTH 640e9  /* as sold */
#define ROOF_LATENCY 800e-9        /* of memory under load: an assumption */
#define ROOF_LDS_BYTES 256.0       /* a cycle and processor, 128 for each compute unit: as RDNA3; an assumption */
#define ROOF_MEMORY (UINT64_C(15) << 30) /* for weights and cache: 16 GiB less what display and driver take */

/* ---- a launch ---- */

typedef enum roof_fill {
    ROOF_ZERO, ROOF_FLOATS, ROOF_HALVES,
    ROOF_SCALES, /* floats, none below 0 */
    ROOF_CODES, /* bytes of small e4m3 or int8 */
    ROOF_STEP,
} roof_fill;

typedef struct roof_buffer {
    const char *name;
    uint64_t bytes;
    uint32_t at;     /* of its pointer in the arguments */
    uint32_t also;   /* of a pointer also_bytes into it; 0: none */
    uint64_t also_bytes;
    roof_fill fill;
    uint32_t number; /* STEP: the position */
} roof_buffer;
#define ROOF_BUFFERS 20

typedef struct roof_launch {
    const char *what;             /* "gate up" */
    const ash_gfx_kernel *kernel; /* NULL: the library has none */
    ash_gfx_op op;
    ash_dtype dtype;              /* of its first matrix; ASH_DTYPE_COUNT: it has none */
    ash_gfx_grid grid;
    ash_gfx_args args;               /* pointers are NULL until it is counted */
    roof_buffer buffers[ROOF_BUFFERS];
    uint32_t buffer_count;
    uint32_t sample;              /* workgroups to count; 0: all of them */
    uint32_t together;            /* this many neighbouring y count together, since the last one to end does something
                                   * for all of them; sample is a multiple, y is one; 0: any */
    uint32_t times;               /* a token, or a prompt */
    double weights;               /* elements of its matrices */
    double products;              /* multiplications with an addition that it needs: of matrices, of attention */
} roof_launch;

#define ROOF_LAUNCHES 64
typedef struct roof_list {
    roof_launch launch[ROOF_LAUNCHES];
    uint32_t count;
    bool overflow;
} roof_list;

/* ---- models (models.c) ---- */

typedef struct roof_model {
    const char *name;
    ash_hparams h;
} roof_model;
extern const roof_model roof_models[];
extern const uint32_t roof_model_count;
extern const roof_model roof_heads[]; /* shapes with heads of other sizes, for their attention alone */
extern const uint32_t roof_heads_count;
extern const char *const roof_types[]; /* recipes by name, "bf16" for what the recipe keeps */
extern const uint32_t roof_type_count;

/* The type of a role's matrix; those that the recipe keeps are BF16. */
ash_dtype roof_type(const ash_hparams *h, const char *recipe, uint32_t role, uint32_t layer);
/* All matrices as tiles. */
uint64_t roof_weight_bytes(const ash_hparams *h, const char *recipe);
/* A token at position context - 1, to the arg-max of its logits. */
void roof_decode(const ash_hparams *h, const char *recipe, uint32_t context, roof_list *out);
/* A prompt of `tokens` from position 0, to the logits of its last token. */
void roof_prefill(const ash_hparams *h, const char *recipe, uint32_t tokens, roof_list *out);
/* A token of each of 1 to 8 sequences: matrices are read once for all; attention and the arg max, of which a kernel
 * takes one sequence, are a launch for each. */
void roof_streams(const ash_hparams *h, const char *recipe, uint32_t streams, uint32_t context, roof_list *out);
/* Either, by the number of tokens, the last at position context - 1 of a decoded pass. */
void roof_pass(const ash_hparams *h, const char *recipe, uint32_t tokens, uint32_t context, roof_list *out);
/* The matrices of layers alone; 1 to 8 tokens: decoding kernels, at so much context. */
void roof_layer(const ash_hparams *h, const char *recipe, uint32_t tokens, uint32_t context, roof_list *out);
/* Prefill's attention alone, of one layer; the cache is F16, or FP8. */
void roof_attention(const ash_hparams *h, uint32_t tokens, bool fp8, roof_list *out);

/* ---- counts (count.c) ---- */

typedef struct roof_counts { /* of the whole launch */
    double groups, group_waves;
    double cycles;         /* of the issue port, all waves */
    double wave_cycles;    /* the longest wave's */
    double vector, matrix, matrix_cycles; /* instructions; cycles of the latter */
    double memory_bytes, asked_bytes; /* asked: by all lanes, loads and stores */
    double lds_bytes;
    double flight_bytes;   /* that a wave has under way where it waits for loads */
    uint32_t vgprs, lds, occupancy /* waves a SIMD */, spills, scratch;
} roof_counts;
/* False: *why says what the interpreter objects to. */
bool roof_count(const roof_launch *l, roof_counts *out, char why[512]);

/* ---- time (project.c) ---- */

typedef enum roof_bound {
    ROOF_BY_MEMORY, ROOF_BY_LATENCY, ROOF_BY_ISSUE, ROOF_BY_TAIL, ROOF_BY_LDS, ROOF_BOUNDS
} roof_bound;
typedef struct roof_time { /* seconds */
    double memory_least;   /* at full bandwidth */
    double issue_least;    /* all SIMDs busy */
    double memory, issue, lds;
    double inside;         /* the largest of those three */
    double total;          /* and the ramp */
    roof_bound bound;
} roof_time;
roof_time roof_project(const roof_counts *c);
const char *roof_bound_name(roof_bound b);

/* Issue cycles of one SIMD that there are for each weight and lane (32 weights a wave) if `share` of the bandwidth is
 * to be reached with weights of so many bytes. */
double roof_cycles_a_weight(double weight_bytes, double share);
/* Vector cycles beside each matrix instruction of `cycles` that leave `share` of the peak. */
double roof_cycles_a_product(double cycles, double share);
/* Cycles of the type's matrix instruction, 16 x 16 x 16 products. */
double roof_matrix_cycles(ash_dtype dtype);
/* Seconds of the launch's products at the peak of those, and the name of that peak. */
double roof_products_least(const roof_launch *l);
const char *roof_peak_name(ash_dtype dtype);

/* ---- the interpreter itself (count.c, speed.c) ---- */

typedef struct roof_host_run { double insns, matrix, seconds; } roof_host_run;
/* Executes the launch's sample once, and adds wave instructions and seconds of this core to *sum. False: *why. */
bool roof_host(const roof_launch *l, roof_host_run *sum, char why[512]);
double roof_host_seconds(void); /* that this thread has used */
/* The speed of every kernel whose symbol contains `part`; returns how many could not be measured. *list is room to
 * work in. */
uint32_t roof_speed(FILE *to, const char *part, roof_list *list);

/* ---- what is shown ---- */

typedef struct roof_line {
    const roof_launch *launch;
    roof_counts counts;
    roof_time time;
    bool counted;
    char why[512];
} roof_line;
/* What a result, or a published figure, is of. */
typedef enum roof_work {
    ROOF_DECODE, ROOF_PREFILL, /* a whole pass */
    ROOF_ATTENTION, ROOF_LAYER, /* attention, or a layer's matrices, alone */
    ROOF_GEMM,
} roof_work;
typedef struct roof_result {
    roof_work work;
    const char *model, *type;
    uint32_t tokens;  /* of the pass; decoding: one of each sequence */
    uint32_t context;
    double weight_bytes;
    roof_list list;
    roof_line line[ROOF_LAUNCHES];
    uint32_t launches;
    bool whole;       /* every launch was counted */
    double seconds, inside, bytes; /* without the launches' overhead; of it inside the launches */
    uint32_t layers;
} roof_result;
void roof_run(roof_result *r); /* counts and projects r->list */
double roof_seconds(const roof_result *r, double overhead); /* overhead a launch, seconds */

/* A pass as a whole, as shares of its time, overheads included. */
typedef struct roof_whole {
    double bound[ROOF_BOUNDS]; /* what launches take inside, by what binds each */
    double ramps, launches;    /* these and bound[] are 1 together */
    double memory;             /* of ROOF_PEAK_BANDWIDTH */
    double issue;              /* of all cycles of the ports that vector and matrix instructions share */
    double matrix;             /* of a prompt's matrices at their peak; 0: decoding */
    ash_dtype dtype;           /* of the first of those */
} roof_whole;
roof_whole roof_shares(const roof_result *r, double overhead);

void roof_report(FILE *to, const roof_result *r);
void roof_targets(FILE *to, const roof_result *results, uint32_t count);

/* ---- a layer's matrices in every type (kernels.c) ---- */

extern const char *const roof_layer_types[];
extern const uint32_t roof_layer_type_count, roof_layer_tokens[], roof_layer_tokens_count;
void roof_kernels(FILE *to, const roof_result *results, uint32_t count); /* the table */

/* ---- published figures (peers.c) ---- */

typedef struct roof_peer {
    roof_work work;
    const char *stands_for; /* the model here that is most like the one measured; NULL: of a kernel */
    const char *recipe;     /* of the weights, if it is one of ours */
    uint32_t bits;          /* of a weight, about */
    uint32_t streams;       /* decoding: sequences at once */
    double figure;          /* tok/s; of a kernel, operations a second */
    const char *what, *who; /* model and type that were measured; with what, and its share of a peak */
} roof_peer;
extern const roof_peer roof_peers[];
extern const uint32_t roof_peer_count;
/* Whether it is the model's and the type's; else whether it is the nearest to it that there is: a model of its size,
 * weights of as many bits. */
bool roof_peer_same(const roof_peer *p, const roof_result *r);
bool roof_peer_near(const roof_peer *p, const roof_result *r);
/* A line each: figures of the same type, or that none is published and what comes nearest. */
void roof_show_peers(FILE *to, const roof_result *r);
/* Ends a line with what stands beside r's target of that kind: figures of the same type, of kernels those of the
 * kind, or that there is none. */
void roof_show_beside(FILE *to, const roof_result *r, roof_work work);

/* ---- the picture (svg.c, plot.c) ---- */

/* Draws the roofline into an open picture from y = top on; returns where it ends. */
double roof_plot(FILE *to, const roof_result *results, uint32_t count, double top);
void roof_svg(FILE *to, const roof_result *results, uint32_t count);

#endif
