#include "convert/note.h"

#include <stdio.h>

void ash_note(ash_note_fn *fn, void *context, const char *format, va_list args)
{
    char line[512];
    vsnprintf(line, sizeof line, format, args);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    if (fn)
        fn(context, line);
}
