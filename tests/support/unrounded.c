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

static void set_fine(ashlar_model *model, bool sensitive, bool others)
{
    model->output.fine = sensitive;
    for (uint32_t i = 0; i < model->meta.h.layers; i++) {
        ash_layer *l = &model->layers[i];
        l->qkv.fine = l->down.fine = sensitive;
        l->o.fine = l->gate_up.fine = others;
    }
}

void drop_lower_bytes(ashlar_model *model) { set_fine(model, false, false); }
void give_lower_bytes(ashlar_model *model) { set_fine(model, true, true); }
