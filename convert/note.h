/* Lines that a conversion or an export has to tell: the library does not print. */
#ifndef ASHLAR_CONVERT_NOTE_H
#define ASHLAR_CONVERT_NOTE_H

#include <stdarg.h>

typedef void ash_note_fn(void *context, const char *line);

/* One formatted line, control characters as '?', since names come from files. fn NULL: nobody listens. */
void ash_note(ash_note_fn *fn, void *context, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

#endif
