/* The ashlar command: verbs, options, and what they share. Only this folder prints.
 *
 * Text that a user asked for goes to stdout; errors (one line), progress and figures go to stderr.
 * Exit codes: 0, 1 (failed), 2 (usage).
 */
#ifndef ASHLAR_COMMAND_COMMAND_H
#define ASHLAR_COMMAND_COMMAND_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "format/status.h"
#include "runtime/ashlar.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* ---- options ---- */

typedef enum option_kind { OPTION_FLAG, OPTION_STRING, OPTION_U32, OPTION_U64, OPTION_FLOAT, OPTION_LIST } option_kind;

/* What an option that may be given several times collects. */
enum { OPTION_LIST_MAX = 64 };
typedef struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
} option_list;

/* One option of a verb. `target` points to bool, const char *, uint32_t, uint64_t, float or option_list; it keeps its value
 * when the option is absent. Numbers outside [min, max] are refused. */
typedef struct option {
    const char *name; /* "--temp", "-n" */
    const char *argument; /* how help calls the value; NULL for a flag */
    option_kind kind;
    void *target;
    double min, max;
    const char *help;
} option;

#define ANY_ARGUMENTS SIZE_MAX /* none, one or more: options_parse takes room for argc of them, zeroed */

typedef struct usage {
    const char *verb;      /* "run" */
    const char *arguments; /* "FILE -p TEXT" */
    const char *summary;   /* one line */
    const char *notes;     /* what follows the options in --help, or NULL */
    size_t positional;     /* how many arguments must be there, or ANY_ARGUMENTS */
} usage;

/* Parses argv[1..]. Returns true when the verb shall go on, with *exit_code 0; otherwise help was printed (0) or a usage error (2).
 * "--name value" and "--name=value" both work; "--" ends the options; an option may stand after the arguments. */
bool options_parse(const usage *u, const option *options, size_t count, int argc, char **argv, const char **positional,
                   int *exit_code);
/* Checks a value and stores it. NULL, or what is wrong with it, in `why`. */
enum { OPTION_WHY = 240 };
const char *option_assign(const option *o, const char *value, char why[OPTION_WHY]);
/* "ashlar VERB: TEXT; see 'ashlar VERB --help'" to stderr; returns EXIT_USAGE. */
int usage_error(const usage *u, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- errors ---- */

/* "ashlar: TEXT" to stderr; returns EXIT_FAILED. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int fail_with(const ash_error *err);
int fail_public(const ashlar_error *err);

/* ---- progress ---- */

/* A bar with bytes, rate and time left on a terminal; otherwise a line each 10 s. */
typedef struct progress {
    const char *label;
    double started, last;
    bool terminal, shown;
    uint64_t total;
} progress;
void progress_start(progress *p, const char *label);
int progress_update(void *p, uint64_t done, uint64_t total); /* fits the library's callbacks; nonzero after Ctrl+C */
void progress_note(void *p, const char *line);               /* a line above the bar */
void progress_end(progress *p);                              /* takes the bar away */

/* Set by SIGINT and SIGTERM once handle_interrupt() has been called; a second signal removes temporary files and leaves. */
extern volatile sig_atomic_t interrupted;
void handle_interrupt(void);
void restore_interrupt(void); /* the signals do what they did before handle_interrupt() */

/* ---- words ---- */

double seconds_now(void); /* monotonic */
double seconds_since_start(void); /* of the process, without what was set aside */
void seconds_set_aside(double spent); /* work that is done once, such as a conversion, is no part of a model's load time */
/* "1.5 GB", "98.2 MB", "512 bytes": powers of 1000, as disks and cards are sold. */
const char *bytes_text(uint64_t bytes, char out[32]);
/* The kernel's driver: "amdgpu loaded 6.12.12", "amdgpu not loaded". */
const char *driver_text(char out[256]);
const char *count_text(uint64_t count, char out[32]); /* "1.5 B", "135 M" */
long peak_rss_mib(void);
/* `bytes` as a JSON string's content would take it: broken UTF-8 becomes U+FFFD. Caller frees. */
char *utf8_clean(const char *bytes, size_t size);
/* Text from a file as one may print it on a terminal: control characters become blanks. Up to size - 1 bytes into out. */
const char *plain_text(const char *text, char *out, size_t size);
/* Reads FILE, or stdin for "-". Caller frees. Prints the error itself; NULL then. */
char *read_text(const char *path, size_t *size);

/* ---- verbs ---- */

int verb_convert(int argc, char **argv);
int verb_quantize(int argc, char **argv);
int verb_inspect(int argc, char **argv);
int verb_verify(int argc, char **argv);
int verb_run(int argc, char **argv);
int verb_chat(int argc, char **argv);
int verb_tokenize(int argc, char **argv);
int verb_perplexity(int argc, char **argv);
int verb_imatrix(int argc, char **argv);
int verb_compare(int argc, char **argv);
int verb_bench(int argc, char **argv);
int verb_export(int argc, char **argv);
int verb_devices(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_cache(int argc, char **argv);
/* bench --tokenizer; text_path NULL: English that the tool has. */
int bench_tokenizer(const char *path, const char *text_path, uint32_t repeats, bool json);

#endif
