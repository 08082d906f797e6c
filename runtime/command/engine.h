/* What run, chat, perplexity and bench share: model options, opening, and a sampling loop. */
#ifndef ASHLAR_COMMAND_ENGINE_H
#define ASHLAR_COMMAND_ENGINE_H

#include "runtime/command/command.h"

typedef struct engine {
    /* options, filled by the option table */
    uint32_t context, threads;
    const char *activations; /* "auto", "float", "int8" */
    const char *level;       /* "best" or a kernel level's name */
    const char *device;      /* "auto", "cpu", "hip", "hip:N" */
    uint32_t card_layers;    /* 0: as many as fit */
    const char *cache;       /* "f16", "fp8", "q8_0" */
    bool no_graph, verify;
    ashlar_sampler_options sampling;
    /* opened */
    ashlar_session_options options; /* of the session */
    int cpu_level;
    ashlar_model *model;
    ashlar_model_info info;
    ashlar_session *session;
    ashlar_sampler *sampler;
    double load_s; /* start of the process to a session that is ready, without a conversion on the way */
} engine;

/* Values before the options are parsed. */
void engine_defaults(engine *e);
void engine_may_use_cards(engine *e);
/* Options that every verb with a session has, and those of the sampler; paste them into the verb's table. */
#define ENGINE_OPTIONS(e)                                                                                               \
    { "--ctx", "N", OPTION_U32, &(e).context, 1, 1 << 30, "context in tokens; default: the trained one, at most 8192" }, \
    { "--threads", "N", OPTION_U32, &(e).threads, 1, 1024, "threads; default: all processors" },                        \
    { "--act", "KIND", OPTION_STRING, &(e).activations, 0, 0, "activations of quantized layers: auto, float, int8" },   \
    { "--cpu", "LEVEL", OPTION_STRING, &(e).level, 0, 0, "kernels: best, scalar, avx2, avx512, vnni, avx512bf16" },       \
    { "--kv", "TYPE", OPTION_STRING, &(e).cache, 0, 0, "keys and values: f16, or half as large fp8, q8_0" }
/* Of verbs that may run on a card. */
#define DEVICE_OPTIONS(e)                                                                                               \
    { "--device", "WHERE", OPTION_STRING, &(e).device, 0, 0, "auto, cpu, hip or hip:N ('ashlar devices' lists them)" }, \
    { "--gpu-layers", "N", OPTION_U32, &(e).card_layers, 1, 1 << 20, "of the last layers, on the card; default: all that fit" }, \
    { "--verify", NULL, OPTION_FLAG, &(e).verify, 0, 0, "compare the weights with the file's checksums while they load" }, \
    { "--no-graph", NULL, OPTION_FLAG, &(e).no_graph, 0, 0, "launch a token's kernels one by one" }
#define SAMPLING_OPTIONS(e)                                                                                             \
    { "--temp", "T", OPTION_FLOAT, &(e).sampling.temperature, 0, 100, "temperature; 0 takes the most likely token" },   \
    { "--top-k", "K", OPTION_U32, &(e).sampling.top_k, 0, 1 << 30, "only the K most likely tokens; 0: all" },           \
    { "--top-p", "P", OPTION_FLOAT, &(e).sampling.top_p, 0, 1, "the most likely tokens that sum to P; 1: all" },        \
    { "--min-p", "P", OPTION_FLOAT, &(e).sampling.min_p, 0, 1, "tokens at least P times as likely as the first" },      \
    { "--repeat-penalty", "R", OPTION_FLOAT, &(e).sampling.repeat_penalty, 0.1, 10, "divides the logits of recent tokens" }, \
    { "--seed", "S", OPTION_U64, &(e).sampling.seed, 0, 18446744073709549568.0, "of the random numbers" }

/* Loads what `path` names, by way of the cache where it is no .ashlar. On failure the error has been printed and *code is
 * set. ashlar_model_free(*model). */
bool open_model(const char *path, ashlar_model **model, int *code);
/* Loads the model and makes session and sampler. On failure the error has been printed and *code is set. */
bool engine_open(engine *e, const usage *u, const char *path, int *code);
void engine_close(engine *e);

/* A stream of token text on stdout (or into a buffer): whole UTF-8 characters, special tokens left out. */
typedef struct text_stream {
    ashlar_detokenizer *detokenizer; /* from the first token to text_stream_end */
    bool continues; /* the text goes on after a prompt's text */
    FILE *out;      /* NULL: keep only */
    bool plain;     /* out is a terminal: control characters become blanks, \n and \t aside */
    char *kept;     /* everything so far; free() */
    size_t kept_bytes, room;
} text_stream;
bool text_stream_token(text_stream *s, const ashlar_model *model, int32_t id); /* false: out of memory */
void text_stream_end(text_stream *s); /* what is left; `kept` stays */

/* Samples tokens after what has been fed, each fed in turn but the last, until *out (zeroed, or from an earlier call) has
 * `limit` of them. The stream's end is the caller's. */
typedef enum generate_end { END_STOP, END_LIMIT, END_CONTEXT, END_INTERRUPT, END_ERROR } generate_end;
typedef struct generated {
    int32_t *ids; /* free() */
    size_t count;
    size_t fed;    /* how many of ids the session has seen */
    double seconds; /* of decoding: from the second token on */
} generated;
/* END_ERROR: *err says why. */
generate_end generate(engine *e, uint32_t limit, text_stream *stream, generated *out, ashlar_error *err);

/* "device hip:0, ...", or why it is the CPU, to stderr; nothing where the CPU was asked for. */
void print_device(const engine *e);
/* The same, and "context 8192 tokens, KV cache 94.4 MB" to stderr. */
void print_context(const engine *e);

#endif
