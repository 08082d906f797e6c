/* A small random model as a Hugging Face folder, and single safetensors files. */
#ifndef ASHLAR_TESTS_SUPPORT_MAKE_HF_H
#define ASHLAR_TESTS_SUPPORT_MAKE_HF_H

#include "tests/support/make_model.h"

/* Writes the folder test_path("NAME") with config.json, generation_config.json, tokenizer.json, tokenizer_config.json
 * and model.safetensors, or shards and an index with parts > 1. Returns the folder's path, malloc'd. */
char *make_hf(const char *name, const make_spec *spec);

/* One safetensors file; the tensors in the list's order. */
void make_safetensors(const char *path, const make_tensor *tensors, size_t count);

#endif
