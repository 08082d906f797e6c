/* A tokenizer by way of the tokenizer.json that the export writes of it. */
#ifndef ASHLAR_TESTS_SUPPORT_REBUILD_VOCAB_H
#define ASHLAR_TESTS_SUPPORT_REBUILD_VOCAB_H

#include "convert/tokenizer.h"
#include "tests/support/support.h"

/* Replaces it by what comes back. ASH_E_UNSUPPORTED: a tokenizer.json cannot say it, and it is as it was. Other errors
 * fail the test. */
ash_status rebuild_vocab(ash_vocab_import *import, ash_error *err);

#endif
