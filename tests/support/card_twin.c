#include "tests/support/card_twin.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/card_rounding.h"
#include "tests/support/session.h"
#include "tests/support/unrounded.h"

/* A model without the rounding of inputs that its own FP8 products ask for; put back by keep_inputs. */
typedef struct own_rounding {
    ash_layer *layers;
    ash_linear output;
} own_rounding;

static own_rounding drop_inputs(ashlar_model *m)
{
    size_t bytes = m->meta.h.layers * sizeof *m->layers;
    own_rounding own = { .layers = malloc(bytes), .output = m->output };
    assert_non_null(own.layers);
    memcpy(own.layers, m->layers, bytes);
    drop_input_rounding(m);
    m->output.input[0].rounding = ASH_ROUND_NONE;
    return own;
}

static void keep_inputs(ashlar_model *m, own_rounding *own)
{
    memcpy(m->layers, own->layers, m->meta.h.layers * sizeof *m->layers);
    m->output = own->output;
    free(own->layers);
}

card_twin card_twin_open(ashlar_model *model, card_twin_rounding how)
{
    ash_dtype type = model->layers[0].o.part[0].w.dtype;
    bool q = type >= ASH_Q4_0;
    ashlar_session_options o = { .context = 64, .threads = 2,
                                 .activations = q && how != CARD_TWIN_EXACT ? ASHLAR_ACT_INT8 : ASHLAR_ACT_FLOAT };
    card_twin t = { .session = test_session(model, o), .model = model, .how = how };
    t.grouped = how == CARD_TWIN_ALL && model->layers[0].o.input[0].rounding == ASH_ROUND_TOKEN;
    t.decoding = t.session->kernels;
    if (how != CARD_TWIN_EXACT && type == ASH_BF16)
        card_rounding(&t.decoding, CARD_ROUNDS_INPUTS);
    t.prompt = t.decoding;
    if (how == CARD_TWIN_ALL && q)
        card_rounding(&t.prompt, CARD_ROUNDS_ALL);
    if (t.grouped)
        card_rounding_fp8(&t.prompt);
    return t;
}

void card_twin_free(card_twin *t) { ashlar_session_free(t->session); }

void card_twin_feed(card_twin *t, const int32_t *ids, size_t count, bool prompt)
{
    bool drops = t->how == CARD_TWIN_EXACT || (prompt && t->grouped);
    own_rounding own;
    if (drops)
        own = drop_inputs(t->model);
    t->session->kernels = prompt ? t->prompt : t->decoding;
    test_feed_as(t->session, ids, count, ASHLAR_FEED_ALL_LOGITS);
    if (drops)
        keep_inputs(t->model, &own);
}
