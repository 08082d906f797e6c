/* A small random model as GGUF, through ash_gguf_writer. */
#ifndef ASHLAR_TESTS_SUPPORT_MAKE_GGUF_H
#define ASHLAR_TESTS_SUPPORT_MAKE_GGUF_H

#include "tests/support/make_model.h"

/* Writes test_path("NAME.gguf"), or with parts > 1 "NAME-00001-of-0000N.gguf" and so on; the same tensor bytes either
 * way. Returns the path of the (first) file, malloc'd. */
char *make_gguf(const char *name, const make_spec *spec);

#endif
