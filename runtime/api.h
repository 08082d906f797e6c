/* Between the public header and the project's own error convention. */
#ifndef ASHLAR_RUNTIME_API_H
#define ASHLAR_RUNTIME_API_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/status.h"
#include "runtime/ashlar.h"

/* The public numbers are ash_status's. */
static_assert((int)ASHLAR_OK == ASH_OK && (int)ASHLAR_ERROR_ARGUMENT == ASH_E_ARGUMENT &&
              (int)ASHLAR_ERROR_IO == ASH_E_IO && (int)ASHLAR_ERROR_MEMORY == ASH_E_MEMORY &&
              (int)ASHLAR_ERROR_FORMAT == ASH_E_FORMAT && (int)ASHLAR_ERROR_CHECKSUM == ASH_E_CHECKSUM &&
              (int)ASHLAR_ERROR_UNSUPPORTED == ASH_E_UNSUPPORTED && (int)ASHLAR_ERROR_LIMIT == ASH_E_LIMIT &&
              (int)ASHLAR_ERROR_CANCELLED == ASH_E_CANCELLED, "public status");
static_assert(sizeof(((ashlar_error *)0)->text) == ASH_ERROR_MAX, "public error text");

/* Copies `from` to *to (unless NULL) and returns its status, for `return ash_public_error(...)`. */
int ash_public_error(const ash_error *from, ashlar_error *to);

#endif
