/* One self-contained page about a quantization: what each type takes, and the error of every matrix by layer. */
#ifndef ASHLAR_COMMAND_QUANT_REPORT_H
#define ASHLAR_COMMAND_QUANT_REPORT_H

#include "convert/convert.h"

typedef struct quant_report {
    ash_convert_matrix *items; /* names are copies */
    size_t count, room;
    bool failed;               /* out of memory: the page is not written */
} quant_report;

/* Fits ash_convert_options.matrix; `context` is what `report` is kept in: see conversion.c. */
void quant_report_add(quant_report *report, const ash_convert_matrix *matrix);
/* False when the file cannot be written; errno says why. */
bool quant_report_write(const quant_report *report, const char *path, const char *source, const char *output,
                        const char *recipe, const ash_convert_result *result);
void quant_report_free(quant_report *report);

#endif
