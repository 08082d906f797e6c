/* libashlar: run a pre-packed model. The one public header; plain C, opaque types.
 *
 * A call that can fail returns 0 on success and a nonzero ashlar_status otherwise, and then *err (if not NULL) holds
 * one line that says what, where and what to do. The library never prints and never exits. A model is immutable after
 * loading and may be shared by threads; a session belongs to one thread at a time.
 */
#ifndef ASHLAR_H
#define ASHLAR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ASHLAR_API __attribute__((visibility("default")))
#else
#define ASHLAR_API
#endif

enum ashlar_status {
    ASHLAR_OK = 0,
    ASHLAR_ERROR_ARGUMENT,
    ASHLAR_ERROR_IO,
    ASHLAR_ERROR_MEMORY,
    ASHLAR_ERROR_FORMAT,
    ASHLAR_ERROR_CHECKSUM,
    ASHLAR_ERROR_UNSUPPORTED,
    ASHLAR_ERROR_LIMIT, /* the context is full */
    ASHLAR_ERROR_CANCELLED
};

typedef struct ashlar_error {
    int status;
    char text[512];
} ashlar_error;

typedef struct ashlar_model ashlar_model;
typedef struct ashlar_session ashlar_session;
typedef struct ashlar_sampler ashlar_sampler;
typedef struct ashlar_detokenizer ashlar_detokenizer;

ASHLAR_API const char *ashlar_version(void); /* "0.1.0" */

/* ---- model ---- */

/* Maps an .ashlar file. Weights are neither copied nor repacked. Tensor data is not verified:
 * ashlar verify does that. */
ASHLAR_API int ashlar_model_load(const char *path, ashlar_model **out, ashlar_error *err);
ASHLAR_API void ashlar_model_free(ashlar_model *model); /* after its sessions; NULL is fine */

typedef struct ashlar_model_info {
    const char *name, *architecture; /* live as long as the model */
    uint64_t file_bytes, weight_bytes_per_token; /* the second: bytes of weights that one decoded token reads */
    uint64_t parameters;
    uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab, context_trained;
    int has_tokenizer, has_chat_template;
    uint64_t multiply_adds_per_token; /* of the matrices that one decoded token meets */
    int quantized;                    /* the layers' matrices are mostly of Q types, which take 8-bit activations */
} ashlar_model_info;
ASHLAR_API void ashlar_model_describe(const ashlar_model *model, ashlar_model_info *out);

/* ---- text ---- */

enum {
    ASHLAR_TOKENIZE_BOS = 1,     /* BOS first where the model wants one */
    ASHLAR_TOKENIZE_SPECIAL = 2, /* special tokens in the text are parsed */
    ASHLAR_TOKENIZE_EOS = 4,     /* EOS last where the model's tokenizer adds one: not for prompts */
    ASHLAR_DETOKENIZE_CONTINUE = 8 /* the ids go on after other text: the first keeps the space that it begins with */
};
/* Token ids of UTF-8 text (broken UTF-8 is kept byte by byte where the model can). *ids is freed with ashlar_free. */
ASHLAR_API int ashlar_tokenize(const ashlar_model *model, const char *text, size_t bytes, unsigned flags, int32_t **ids,
                               size_t *count, ashlar_error *err);
/* The text of `count` ids; special tokens are left out unless ASHLAR_TOKENIZE_SPECIAL. *text has a NUL after it and
 * is freed with ashlar_free. Many models put a space in front of a text: the text of ids one by one is not the text of
 * all of them. That takes a detokenizer. */
ASHLAR_API int ashlar_detokenize(const ashlar_model *model, const int32_t *ids, size_t count, unsigned flags,
                                 char **text, size_t *bytes, ashlar_error *err);
/* Ids one after another, with the flags of ashlar_detokenize: text comes out in whole characters, and all of it
 * together is what ashlar_detokenize gives. *text has no NUL after it and is valid until the next call. finish: what is
 * left. */
ASHLAR_API int ashlar_detokenizer_new(const ashlar_model *model, unsigned flags, ashlar_detokenizer **out,
                                      ashlar_error *err);
ASHLAR_API void ashlar_detokenizer_free(ashlar_detokenizer *detokenizer); /* before its model; NULL is fine */
ASHLAR_API int ashlar_detokenizer_push(ashlar_detokenizer *detokenizer, int32_t id, const char **text, size_t *bytes,
                                       ashlar_error *err);
ASHLAR_API int ashlar_detokenizer_finish(ashlar_detokenizer *detokenizer, const char **text, size_t *bytes,
                                         ashlar_error *err);
/* Frees what the library allocated for the caller; NULL is fine. */
ASHLAR_API void ashlar_free(void *p);
ASHLAR_API int ashlar_is_stop(const ashlar_model *model, int32_t id);

/* ---- chat ---- */

/* One message of a conversation. Roles are the template's: "system", "user", "assistant", often "tool". */
typedef struct ashlar_message {
    const char *role;
    const char *content; /* UTF-8; NULL: null, as in a message that only calls tools */
    const char *json;    /* NULL, or an object with further members: tool_calls, name, reasoning_content, ... */
} ashlar_message;

typedef struct ashlar_chat_options {
    const char *template_text;  /* NULL: the model's own (which may have another one for tools) */
    const char *tools_json;     /* NULL, or an array: what the template sees as `tools` */
    const char *variables_json; /* NULL, or an object with further variables of the template: enable_thinking, ... */
    int reply;                  /* the assistant's answer is opened: add_generation_prompt */
    int64_t now;                /* seconds since 1970, for templates that name the date; 0: the system's clock */
} ashlar_chat_options;

/* A run of a rendered conversation, not terminated by a NUL. */
typedef struct ashlar_segment {
    char *text;
    size_t bytes;
    int special; /* framing, which the template wrote: special tokens in it count; otherwise text of messages and tools */
} ashlar_segment;

/* The conversation as the template writes it (options NULL: the model's template, an answer opened). The segments
 * joined are what the template's author sees; they are for showing, not for tokenizing one by one: that is
 * ashlar_chat_tokens. A model without a template is ASHLAR_ERROR_UNSUPPORTED; a template that is none or that fails is
 * ASHLAR_ERROR_FORMAT, what it raises itself ASHLAR_ERROR_ARGUMENT, a bound that it meets ASHLAR_ERROR_LIMIT. */
ASHLAR_API int ashlar_chat_render(const ashlar_model *model, const ashlar_message *messages, size_t count,
                                  const ashlar_chat_options *options, ashlar_segment **segments,
                                  size_t *segment_count, ashlar_error *err);
ASHLAR_API void ashlar_segments_free(ashlar_segment *segments, size_t count);
/* The same as token ids. A special token spelled in a message stays text; BOS is there where the template writes it.
 * *ids is freed with ashlar_free. */
ASHLAR_API int ashlar_chat_tokens(const ashlar_model *model, const ashlar_message *messages, size_t count,
                                  const ashlar_chat_options *options, int32_t **ids, size_t *id_count,
                                  ashlar_error *err);

/* ---- session ---- */

enum { ASHLAR_ACT_AUTO = 0, ASHLAR_ACT_FLOAT = 1, ASHLAR_ACT_INT8 = 2 };
typedef struct ashlar_session_options {
    uint32_t context; /* tokens; 0: the smaller of the trained one and 8192 */
    uint32_t threads; /* 0: the processors that this process may use */
    int activations;  /* AUTO, INT8: 8-bit for the Q types (small models: float where 8 bits hurt), BF16 for BF16 and
                         FP8 where the processor multiplies it, else float; FLOAT: float for all */
    int cpu_level;    /* 0: the best; 1 + n: at most level n of kernels.h (tests) */
    /* Where the model runs. NULL, "cpu": the CPU. "hip", "hip:N": a card, or an error that says why not. "auto": a card where
     * one can be used, else the CPU, and ashlar_session_device says why. */
    const char *device;
    uint32_t card_layers; /* so many of the last layers on the card, the others on the CPU; 0: as many as fit */
    int cache;            /* keys and values: F16, or in half the bytes FP8 (e4m3) or, on the CPU alone, Q8_0 */
    int no_graph;         /* launches of a decoded token one by one */
    int verify;           /* weights are compared with the file's checksums: on the way to a card, or first */
    void (*load_progress)(void *context, uint64_t done, uint64_t total); /* of weights to a card, by another thread; or NULL */
    void *load_context;
} ashlar_session_options;
enum { ASHLAR_CACHE_F16 = 0, ASHLAR_CACHE_FP8 = 1, ASHLAR_CACHE_Q8_0 = 2 };
/* options may be NULL: all defaults. */
ASHLAR_API int ashlar_session_new(const ashlar_model *model, const ashlar_session_options *options,
                                  ashlar_session **out, ashlar_error *err);
ASHLAR_API void ashlar_session_free(ashlar_session *session);
/* "hip:0, AMD Radeon RX 9070 XT (gfx1201), 32 of 32 layers", or "cpu", and where "auto" chose it "cpu: " and why. Lives as long
 * as the session. */
ASHLAR_API const char *ashlar_session_device(const ashlar_session *session);
ASHLAR_API uint32_t ashlar_session_context(const ashlar_session *session);
ASHLAR_API uint32_t ashlar_session_position(const ashlar_session *session); /* tokens fed so far */
ASHLAR_API uint64_t ashlar_session_kv_bytes(const ashlar_session *session);
/* Forgets everything after the first `position` tokens. */
ASHLAR_API int ashlar_session_rewind(ashlar_session *session, uint32_t position, ashlar_error *err);

enum {
    ASHLAR_FEED_ALL_LOGITS = 1, /* keep logits for each of the tokens fed, not the last alone */
    ASHLAR_FEED_CHOOSE = 2,     /* the most likely next token is wanted (ashlar_session_choice), and no logits */
    ASHLAR_FEED_TOP = 4,        /* the most likely next tokens are enough (ashlar_session_top): a card keeps the others */
};
/* Runs tokens through the model. When fewer than `count` places are left in the context nothing is fed and the result
 * is ASHLAR_ERROR_LIMIT. With ALL_LOGITS count is at most ASHLAR_ALL_LOGITS_MAX. An id outside the vocabulary is
 * ASHLAR_ERROR_ARGUMENT. ashlar_session_stop from a signal handler or another thread makes it return
 * ASHLAR_ERROR_CANCELLED between batches; the tokens of finished batches stay fed. A stop that comes while nothing
 * runs is kept for the next feed; ashlar_session_rewind forgets it. */
#define ASHLAR_ALL_LOGITS_MAX 256
ASHLAR_API int ashlar_session_feed(ashlar_session *session, const int32_t *ids, size_t count, unsigned flags,
                                   ashlar_error *err);
/* Runs one token through each of `count` sessions of one model, together: they share each read of the weights. ids[i]
 * goes to sessions[i], which then stands as after ashlar_session_feed(sessions[i], &ids[i], 1, 0, err). No session is
 * there twice; all were made with the same activations and cpu_level; caches and contexts may differ. All are on the CPU,
 * and the threads of the first one do the work; or all have every layer on the same card, which takes eight at a time
 * with the weights of the first one. When one of the sessions is full or stopped, or one of the ids is outside the
 * vocabulary, nothing is fed to any, and the result is that session's. */
#define ASHLAR_SESSIONS_MAX 64
ASHLAR_API int ashlar_sessions_feed(ashlar_session *const *sessions, size_t count, const int32_t *ids,
                                    ashlar_error *err);
/* Makes `ids` all that the session has been fed: keeps its beginning as far as that stands for the same text, rewinds to
 * there and feeds the rest, one token at least, so that logits are there. Between two special tokens the text counts and
 * not the ids: an answer keeps the tokens that the model chose, however the tokenizer would cut it; *kept (if not NULL)
 * is how many tokens stayed. When `ids` do not fit nothing changes and the result is ASHLAR_ERROR_LIMIT; after
 * ASHLAR_ERROR_CANCELLED the session holds what has been fed, and the same call goes on from there. */
ASHLAR_API int ashlar_session_prompt(ashlar_session *session, const int32_t *ids, size_t count, size_t *kept,
                                     ashlar_error *err);
ASHLAR_API void ashlar_session_stop(ashlar_session *session); /* async-signal-safe */
/* `vocab` floats for the i-th of the last feed's tokens (0 without ALL_LOGITS); valid until the next feed; NULL when
 * there are none. Padding rows of the output matrix are not in it. */
ASHLAR_API const float *ashlar_session_logits(const ashlar_session *session, size_t i);

/* After ASHLAR_FEED_CHOOSE: the most likely next token, among equals the smallest id; else -1. */
ASHLAR_API int32_t ashlar_session_choice(const ashlar_session *session);
/* After ASHLAR_FEED_TOP on a card: how many of the last token's largest logits there are (ASHLAR_TOP, or the vocabulary
 * where it is smaller), with their ids, the largest first, of equals the smallest id; valid until the next feed. 0 where
 * ashlar_session_logits has all of them instead: on the CPU, and where one of these is not finite. */
#define ASHLAR_TOP 64
ASHLAR_API size_t ashlar_session_top(const ashlar_session *session, const int32_t **ids, const float **logits);

/* ---- cards ---- */

typedef struct ashlar_device_info {
    int index;         /* N of "hip:N" */
    char name[96], target[16], pci[24];
    uint64_t memory_free, memory_total;
    uint32_t compute_units; /* 0: unknown */
    int usable;
} ashlar_device_info;
/* The cards that HIP finds, *count of them, at most `room`; `library`: what was loaded for it and its version, "" where
 * nothing could be.
 * ASHLAR_ERROR_UNSUPPORTED says what is missing. */
ASHLAR_API int ashlar_devices(ashlar_device_info *list, size_t room, size_t *count, char library[256], ashlar_error *err);

/* Whether a card has stopped answering in this process: a call has failed with ASHLAR_ERROR_LIMIT, naming the kernel. The
 * process should then end at once, by _exit, and free nothing, since the driver would wait too. */
ASHLAR_API int ashlar_card_hangs(void);

/* ---- sampling ---- */

typedef struct ashlar_sampler_options {
    float temperature;    /* 0: the most likely token */
    uint32_t top_k;       /* 0: off */
    float top_p;          /* 1: off */
    float min_p;          /* 0: off */
    float repeat_penalty; /* 1: off; applies to the last repeat_window tokens accepted */
    uint32_t repeat_window;
    uint64_t seed;
} ashlar_sampler_options;
ASHLAR_API ashlar_sampler_options ashlar_sampler_defaults(void); /* 0.7, 40, 0.95, 0.05, 1.0, 64, seed 0 */
ASHLAR_API int ashlar_sampler_new(const ashlar_sampler_options *options, uint32_t vocab, ashlar_sampler **out,
                                  ashlar_error *err);
ASHLAR_API void ashlar_sampler_free(ashlar_sampler *sampler);
/* Draws the next token: penalty, temperature, top-k, top-p, min-p in this order. The same seed, options and logits give
 * the same token. */
ASHLAR_API int32_t ashlar_sampler_next(ashlar_sampler *sampler, const float *logits);
/* How many of the largest logits decide: 1 or top_k; 0: all of them may, as without top_k or with a penalty. */
ASHLAR_API uint32_t ashlar_sampler_top(const ashlar_sampler *sampler);
/* The token that ashlar_sampler_next draws from all logits, from the largest alone, ashlar_sampler_top of them or more, as
 * ashlar_session_top gives them. */
ASHLAR_API int32_t ashlar_sampler_next_of(ashlar_sampler *sampler, const int32_t *ids, const float *logits, size_t count);
/* Tells the repetition penalty of a token that was fed or chosen. */
ASHLAR_API void ashlar_sampler_accept(ashlar_sampler *sampler, int32_t id);
ASHLAR_API void ashlar_sampler_reset(ashlar_sampler *sampler);

#ifdef __cplusplus
}
#endif
#endif
