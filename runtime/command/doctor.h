/* What doctor finds out; cmd_doctor.c runs it and writes the report. */
#ifndef ASHLAR_COMMAND_DOCTOR_H
#define ASHLAR_COMMAND_DOCTOR_H

#include "kernels/gfx12/gfx12.h"
#include "runtime/command/command.h"

/* Of a line of the card's registry. */
typedef struct doctor_kernel {
    uint32_t launches, failed; /* launches, and those in passes whose result is wrong */
    double seconds;            /* of the fastest launch */
} doctor_kernel;

/* A pass on the card beside the CPU's. */
typedef struct doctor_pass {
    char model[48]; /* "q4_k, heads of 64, cache f16" */
    uint32_t tokens;
    double off, allowed; /* distance of its logits from the CPU's, relative to their size */
} doctor_pass;

typedef struct doctor {
    doctor_kernel *kernels; /* one a line of the registry */
    size_t kernel_count;
    doctor_pass *passes;
    size_t pass_count, wrong;
} doctor;

/* Runs every model of doctor_model.h on card `index` and on the CPU. `folder`: for their files. On an error what has been
 * found so far is there; doctor_free in any case. */
ash_status doctor_run(doctor *d, int index, const char *folder, ash_error *err);
void doctor_free(doctor *d);

#endif
