/* A loaded model whose products take other inputs: what a test compares with. */
#ifndef ASHLAR_TESTS_SUPPORT_UNROUNDED_H
#define ASHLAR_TESTS_SUPPORT_UNROUNDED_H

#include "runtime/model.h"

/* Inputs of every layer's products stay as they are, without FP8 input scales; sessions made before see it too. */
void drop_input_rounding(ashlar_model *model);
/* 8-bit inputs where they would have 16, as the card has them. */
void drop_lower_bytes(ashlar_model *model);
/* 16 bits everywhere. */
void give_lower_bytes(ashlar_model *model);

#endif
