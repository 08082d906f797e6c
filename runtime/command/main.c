/* ashlar: the verbs. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "runtime/command/command.h"

typedef struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} verb;

static const verb verbs[] = {
    { "convert", verb_convert, "a Hugging Face folder or a GGUF to an .ashlar file" },
    { "quantize", verb_quantize, "an .ashlar file to one with smaller types" },
    { "inspect", verb_inspect, "what is in a file or a model folder" },
    { "verify", verb_verify, "check every checksum of an .ashlar file" },
    { "run", verb_run, "complete a prompt" },
    { "chat", verb_chat, "talk with a chat model" },
    { "tokenize", verb_tokenize, "text to token ids, and back" },
    { "perplexity", verb_perplexity, "how well a model predicts a text" },
    { "imatrix", verb_imatrix, "measure which input columns matter, for convert --imatrix" },
    { "compare", verb_compare, "how far a model's predictions are from another's" },
    { "bench", verb_bench, "measure load, prefill and decode" },
    { "export", verb_export, "an .ashlar file to a GGUF or a Hugging Face folder" },
    { "devices", verb_devices, "the cards of this machine, and what is missing to use them" },
    { "doctor", verb_doctor, "try every kernel on the card, and write a report to send back" },
    { "cache", verb_cache, "what has been converted on the way, and its removal" },
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static void print_help(FILE *out)
{
    fputs("ashlar: convert language models once, start them at once\n\nusage: ashlar VERB ...\n\n", out);
    for (int i = 0; i < VERBS; i++)
        fprintf(out, "  %-12s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\nA model FILE is an .ashlar; or a GGUF or a Hugging Face folder, which is converted once, into the cache.\n"
          "'ashlar VERB --help' explains a verb; 'ashlar --version' prints the version.\n"
          "Exit codes: 0 done, 1 failed, 2 wrong usage.\n", out);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, ""); /* the line editor needs the terminal's character set */
    seconds_since_start();
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("ashlar %s\n", ashlar_version());
        return EXIT_OK;
    }
    for (int i = 0; i < VERBS; i++)
        if (strcmp(argv[1], verbs[i].name) == 0) {
            int code = verbs[i].run(argc - 1, argv + 1);
            /* Output that could not be written (a full disk, a closed pipe) is a failure, not a success. */
            if (fflush(stdout) != 0 || ferror(stdout))
                return code == EXIT_OK ? fail("cannot write to standard output") : code;
            return code;
        }
    fprintf(stderr, "ashlar: no verb '%s'; 'ashlar --help' lists them\n", argv[1]);
    return EXIT_USAGE;
}
