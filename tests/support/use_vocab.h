/* What every imported vocabulary promises, for fuzzers and tests of importers. No cmocka here. */
#ifndef ASHLAR_TESTS_SUPPORT_USE_VOCAB_H
#define ASHLAR_TESTS_SUPPORT_USE_VOCAB_H

#include "convert/tokenizer.h"

/* An error has one line and leaves nothing; a section opens or is refused with one line, encodes some texts twice with
 * the same ids below its count, and decodes them. Aborts where a promise is broken. Frees the section. */
void use_vocab(ash_status status, ash_vocab_import *import, const ash_error *err);

#endif
