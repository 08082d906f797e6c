/* The weights of a source tensor as an .ashlar file holds them, for comparison with the source's own bytes. */
#ifndef ASHLAR_TESTS_SUPPORT_READ_BACK_H
#define ASHLAR_TESTS_SUPPORT_READ_BACK_H

#include "format/reader.h"
#include "tests/support/support.h"

/* The member that came from `source_name`, with its tensor; false where there is none. */
bool read_back_find(const ash_file *file, const char *source_name, const ash_tensor_record **tensor,
                    const ash_member_record **member);

/* Its rows in the source's order, untiled: what the source holds, where the type was kept. malloc'd. */
uint8_t *read_back(const ash_file *file, const ash_tensor_record *tensor, const ash_member_record *member,
                   size_t *size);

/* Opens, and verifies every checksum and padding byte; fails the test where something is wrong. */
ash_file *read_back_open(const char *path);

#endif
