#include "tests/support/unrounded.h"

void drop_input_rounding(ashlar_model *model)
{
    for (uint32_t i = 0; i < model->meta.h.layers; i++) {
        ash_linear *ops[] = { &model->layers[i].qkv, &model->layers[i].o, &model->layers[i].gate_up,
                              &model->layers[i].down };
        for (int k = 0; k < 4; k++)
            for (uint32_t j = 0; j < ops[k]->input_count; j++)
                ops[k]->input[j].rounding = ASH_ROUND_NONE;
    }
}

void drop_lower_bytes(ashlar_model *model)
{
    model->output.fine = false;
    for (uint32_t i = 0; i < model->meta.h.layers; i++)
        model->layers[i].qkv.fine = model->layers[i].down.fine = false;
}
