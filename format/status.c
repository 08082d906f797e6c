#include "format/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names in messages come from files: a terminal must not be steered by them. */
static void replace_controls(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static void fill(ash_error *err, ash_status status, const char *format, va_list args)
{
    err->status = status;
    vsnprintf(err->text, sizeof err->text, format, args);
}

ash_status ash_fail(ash_error *err, ash_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, status, format, args);
    va_end(args);
    replace_controls(err->text);
    return status;
}

ash_status ash_fail_errno(ash_error *err, const char *format, ...)
{
    int code = errno;
    va_list args;
    va_start(args, format);
    fill(err, code == ENOMEM ? ASH_E_MEMORY : ASH_E_IO, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(code));
    replace_controls(err->text);
    return err->status;
}

ash_status ash_fail_in(ash_error *err, const char *prefix)
{
    char text[ASH_ERROR_MAX];
    memcpy(text, err->text, sizeof text);
    size_t room = sizeof err->text - 1, front = strlen(prefix);
    if (front > room / 2)
        front = room / 2;
    snprintf(err->text, sizeof err->text, "%.*s: %.*s", (int)front, prefix, (int)(room - front - 2), text);
    replace_controls(err->text);
    return err->status;
}
