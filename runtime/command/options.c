/* Command-line options, from one table per verb: parsing, range checks and --help come from the same lines. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/command/command.h"

int usage_error(const usage *u, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "ashlar %s: ", u->verb);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see 'ashlar %s --help'\n", u->verb);
    return EXIT_USAGE;
}

static void print_default(const option *o)
{
    switch (o->kind) {
    case OPTION_FLAG:
    case OPTION_LIST:
        break;
    case OPTION_STRING:
        if (*(const char **)o->target)
            printf(" (default %s)", *(const char **)o->target);
        break;
    case OPTION_U32:
        if (*(uint32_t *)o->target)
            printf(" (default %u)", *(uint32_t *)o->target);
        break;
    case OPTION_U64:
        printf(" (default %llu)", (unsigned long long)*(uint64_t *)o->target);
        break;
    case OPTION_FLOAT:
        printf(" (default %g)", (double)*(float *)o->target);
        break;
    }
}

static void print_help(const usage *u, const option *options, size_t count)
{
    printf("usage: ashlar %s %s\n%s\n\n", u->verb, u->arguments, u->summary);
    for (size_t i = 0; i < count; i++) {
        const option *o = &options[i];
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-22s %s", left, o->help);
        print_default(o);
        putchar('\n');
    }
    printf("  %-22s %s\n", "--help", "this text");
    if (u->notes)
        printf("\n%s\n", u->notes);
}

/* An integer in decimal digits alone: no sign, no space, no exponent. */
static bool parse_u64(const char *text, uint64_t *out)
{
    if (*text == 0 || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0;
}

const char *option_assign(const option *o, const char *text, char why[OPTION_WHY])
{
    uint64_t integer;
    char *end;
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)o->target = true;
        return NULL;
    case OPTION_STRING:
        *(const char **)o->target = text;
        return NULL;
    case OPTION_LIST: {
        option_list *list = o->target;
        if (list->count == OPTION_LIST_MAX) {
            snprintf(why, OPTION_WHY, "%s can be given %d times", o->name, OPTION_LIST_MAX);
            return why;
        }
        list->items[list->count++] = text;
        return NULL;
    }
    case OPTION_U32:
    case OPTION_U64:
        if (!parse_u64(text, &integer)) {
            snprintf(why, OPTION_WHY, "%s takes a whole number, not '%.80s'", o->name, text);
            return why;
        }
        if ((double)integer < o->min || (double)integer > o->max || (o->kind == OPTION_U32 && integer > UINT32_MAX)) {
            snprintf(why, OPTION_WHY, "%s %.80s is not between %.0f and %.0f", o->name, text, o->min, o->max);
            return why;
        }
        if (o->kind == OPTION_U32)
            *(uint32_t *)o->target = (uint32_t)integer;
        else
            *(uint64_t *)o->target = integer;
        return NULL;
    case OPTION_FLOAT: {
        double number = strtod(text, &end);
        if (end == text || *end || !isfinite(number)) {
            snprintf(why, OPTION_WHY, "%s takes a number, not '%.80s'", o->name, text);
            return why;
        }
        if (number < o->min || number > o->max) {
            snprintf(why, OPTION_WHY, "%s %.80s is not between %g and %g", o->name, text, o->min, o->max);
            return why;
        }
        *(float *)o->target = (float)number;
        return NULL;
    }
    }
    return NULL;
}

bool options_parse(const usage *u, const option *options, size_t count, int argc, char **argv, const char **positional,
                   int *exit_code)
{
    *exit_code = EXIT_OK;
    size_t found = 0;
    bool only_arguments = false;
    /* --help wins wherever it stands: defaults must be printed before any option changes them. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(u, options, count);
            *exit_code = EXIT_OK;
            return false;
        }
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (only_arguments || arg[0] != '-' || arg[1] == 0) {
            if (found == u->positional) {
                *exit_code = usage_error(u, "'%s' is one argument too many", arg);
                return false;
            }
            positional[found++] = arg;
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            only_arguments = true;
            continue;
        }
        const char *equals = arg[1] == '-' ? strchr(arg, '=') : NULL;
        size_t length = equals ? (size_t)(equals - arg) : strlen(arg);
        const option *o = NULL;
        for (size_t k = 0; k < count; k++)
            if (strlen(options[k].name) == length && memcmp(options[k].name, arg, length) == 0)
                o = &options[k];
        if (!o) {
            *exit_code = usage_error(u, "unknown option %.*s", (int)length, arg);
            return false;
        }
        const char *value = NULL;
        if (o->kind == OPTION_FLAG) {
            if (equals) {
                *exit_code = usage_error(u, "%s takes no value", o->name);
                return false;
            }
        } else if (equals) {
            value = equals + 1;
        } else if (i + 1 < argc) {
            value = argv[++i];
        } else {
            *exit_code = usage_error(u, "%s needs a value (%s)", o->name, o->argument);
            return false;
        }
        char why[OPTION_WHY];
        if (option_assign(o, value, why)) {
            *exit_code = usage_error(u, "%s", why);
            return false;
        }
    }
    if (found < u->positional && u->positional != ANY_ARGUMENTS) {
        *exit_code = usage_error(u, "an argument is missing: ashlar %s %s", u->verb, u->arguments);
        return false;
    }
    return true;
}
