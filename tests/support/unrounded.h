/* A loaded model as it would be without its FP8 input scales: what a test compares with to see that they matter. */
#ifndef ASHLAR_TESTS_SUPPORT_UNROUNDED_H
#define ASHLAR_TESTS_SUPPORT_UNROUNDED_H

#include "runtime/model.h"

/* Inputs of every layer's products stay as they are; sessions made before see it too. */
void drop_input_rounding(ashlar_model *model);

#endif
