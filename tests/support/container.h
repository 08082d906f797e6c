/* For tests and fuzzers that damage .ashlar files and want to get past the checksums. No cmocka here. */
#ifndef ASHLAR_TESTS_SUPPORT_CONTAINER_H
#define ASHLAR_TESTS_SUPPORT_CONTAINER_H

#include <stddef.h>
#include <stdint.h>

/* Computes every hash of the file anew, as far as its offsets lie inside: tensors (where `tensors`), data chunks,
 * sections, root, header. */
void test_container_rehash(uint8_t *file, size_t size, int tensors);
/* Sets version-0 magic, sizes and file_bytes, so that a fuzzer's bytes pass the first gate. */
void test_container_dress(uint8_t *file, size_t size);

#endif
