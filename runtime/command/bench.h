/* ashlar bench: rows of measurements, the limits of the machine that they run against, and two results compared. */
#ifndef ASHLAR_COMMAND_BENCH_H
#define ASHLAR_COMMAND_BENCH_H

#include <cjson/cJSON.h>

#include "runtime/command/engine.h"
#include "runtime/profile.h"

/* Operations of a pass, added up over layers (and over tokens that were decoded). 64 are more than a model has. */
enum { BENCH_PROFILE_MAX = 64 };
typedef struct bench_profile {
    double seconds; /* of all */
    size_t count;
    ash_profile_record line[BENCH_PROFILE_MAX]; /* in the order of their first appearance */
} bench_profile;

enum { BENCH_REPEATS_MAX = 99, BENCH_SIZES_MAX = 16, BENCH_ROWS_MAX = BENCH_SIZES_MAX * BENCH_SIZES_MAX * (1 + BENCH_SIZES_MAX) };

/* One measurement: a prompt of `tokens` after `depth` others, or so many tokens decoded one by one in each of `batch`
 * sessions together. */
typedef struct bench_row {
    bool decode;
    uint32_t tokens, depth, batch; /* batch: 1 for prompts */
    size_t count;
    double rate[BENCH_REPEATS_MAX]; /* tokens a second, ascending */
    bench_profile *profile;         /* NULL: none; free() */
} bench_row;

void bench_sort(double *values, size_t count); /* ascending */
/* Of ascending values, linear between neighbours: q 0.5 is the median. */
double bench_quantile(const double *values, size_t count, double q);
/* Median, and half the distance between the quartiles: what a single run is off by. */
double bench_median(const bench_row *row);
double bench_spread(const bench_row *row);
const char *bench_kind(const bench_row *row, char text[32]); /* "prefill", "decode", "decode x8" */

/* Sessions of the engine's model, the first one its own, the others beside it. Each call is for the first `count`. */
typedef struct bench_batch {
    ashlar_session *session[ASHLAR_SESSIONS_MAX];
    uint32_t count;
} bench_batch;
int bench_batch_grow(bench_batch *b, engine *e, uint32_t count, ashlar_error *err); /* `b` zeroed at first */
void bench_batch_close(bench_batch *b);
int bench_batch_rewind(bench_batch *b, uint32_t count, uint32_t position, ashlar_error *err);
int bench_batch_depth(bench_batch *b, uint32_t count, const int32_t *ids, uint32_t depth, ashlar_error *err);
/* The t-th token of each, of `tokens`: one pass. */
int bench_batch_step(bench_batch *b, uint32_t count, const int32_t *ids, uint32_t t, uint32_t tokens, ashlar_error *err);
int bench_batch_decode(bench_batch *b, uint32_t count, const int32_t *ids, uint32_t tokens, ashlar_error *err);

/* Measured on the spot, on all threads of the session. */
typedef struct bench_limits {
    double bytes_s; /* a loop over read_bytes, again and again: what a cache can keep of so much, it keeps */
    uint64_t read_bytes; /* as many as the deepest row's tokens read, from 64 KiB to 512 MiB; 0: a card */
    double memory_s; /* the same loop over 512 MiB: what is read for the first time */
    double int8_s;  /* multiply-adds in registers */
    double f32_s;
    double bf16_s; /* 0: this processor has no such instruction */
    double barriers_s; /* of threads that have nothing else to do */
} bench_limits;
bench_limits bench_measure_limits(uint32_t threads, int cpu_level, uint64_t read_bytes);
/* Of a session on a card: the rate of its memory, by a copy; no rate of multiply-adds, which nothing of ours measures alone. */
bench_limits bench_card_limits(const struct ashlar_session *session);

typedef struct bench_result {
    char model[256];
    double first_s;              /* load to first logits */
    uint64_t weight_bytes, macs; /* a decoded token's */
    uint64_t output_macs;        /* of them those of the output matrix, which a prompt meets once */
    uint64_t position_bytes;     /* of the keys and values of one token in the context */
    uint32_t window;             /* tokens that a token sees at most; 0: all */
    long rss_mib;
    ash_unit unit; /* which multiply-adds count */
    bench_limits limits;
    bench_row *rows;
    size_t row_count;
} bench_result;

/* Runs a row once more and fills row->profile; its sessions are open and what comes before it is in their contexts. */
int bench_profile_row(engine *e, bench_batch *batch, const int32_t *ids, bench_row *row, ashlar_error *err);
/* What the machine's limits allow of a row's time: a profile's operations one after the other, each taking the time of
 * its bytes or of its multiply-adds, whichever is longer, over the row's median time; 8-bit ones with all steps that they
 * take of the units ("slots"). The sum and its parts from 0.5% on: "74% (slots 66, f32 5, bytes 3)". "" without a profile
 * or limits. */
enum { BENCH_LIMITS_TEXT = 128 }; /* a sum and seven parts of up to 6 digits each; longer ones are cut */
const char *bench_limits_text(const bench_result *r, const bench_row *row, char text[BENCH_LIMITS_TEXT]);
void bench_profile_print(const bench_result *r, const bench_row *row);
cJSON *bench_profile_json(const bench_result *r, const bench_row *row);

/* The measured limit of a kind of multiply-adds; 0: none was. And its name in JSON. */
double bench_macs_limit(const bench_limits *limits, ash_unit unit);
const char *bench_unit_name(ash_unit unit);
/* Bytes that a decoding row must read for one token of each session: weights once, keys and values of what
 * each sees, on average. */
double bench_row_bytes(const bench_result *r, const bench_row *row);
/* Multiply-adds with weights of one of the row's tokens. */
double bench_row_macs(const bench_result *r, const bench_row *row);
/* The larger of a row's shares: of the bandwidth (which says nothing of a prompt), and of the multiply-adds. */
double bench_share(const bench_result *r, const bench_row *row, bool *of_bytes);
/* A line of JSON, malloc'd; NULL when out of memory. */
char *bench_json(const bench_result *r);
/* Tables of two results that --save wrote: how the machine's limits moved; rows in both, their ratio, whether it is more
 * than the noise and no more than what the row's limit moved; rows in one of them. Exit code. */
int bench_diff(const char *before, const char *after);

#endif
