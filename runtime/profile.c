/* The clocks of a pass on the CPU, and what each operation had to read and to multiply. */
#include "runtime/profile.h"

#include <string.h>
#include <time.h>

#include "runtime/session.h"

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void ash_profile_start(ashlar_session *s, uint32_t thread)
{
    ash_profile_clock *c = &s->clock[thread];
    memset(c, 0, sizeof *c);
    c->since = now_ns();
    if (thread == 0)
        s->place.since = c->since;
}

void ash_profile_spent(ashlar_session *s, uint32_t thread, ash_slot slot)
{
    ash_profile_clock *c = &s->clock[thread];
    int64_t now = now_ns();
    c->spent[c->phase & 1][slot] += now - c->since;
    c->since = now;
}

/* ---- records ---- */

static ash_role part_role(const ash_profile_place *at, uint32_t part)
{
    static const ash_role qkv[3] = { ASH_ROLE_Q, ASH_ROLE_K, ASH_ROLE_V };
    if (at->role == ASH_ROLE_QKV && at->op->part_count == 3)
        return qkv[part];
    if (at->role == ASH_ROLE_GATE_UP && at->op->part_count == 2)
        return part ? ASH_ROLE_UP : ASH_ROLE_GATE;
    return at->role;
}

static void describe_part(const ashlar_session *s, const ash_profile_place *at, uint32_t i, ash_profile_record *r)
{
    const ash_part *part = &at->op->part[i];
    r->name = "matrix";
    r->role = part_role(at, i);
    r->dtype = part->w.dtype;
    r->unit = ash_runs_in_q8(s, part) ? ASH_UNIT_INT8 : ash_runs_in_bf16(s, part) ? ASH_UNIT_BF16 : ASH_UNIT_F32;
    r->bytes = (uint64_t)(part->panels * part->w.panel_bytes);
    ash_acts x = r->unit == ASH_UNIT_INT8 ? ash_q8_inputs(s, at->op, at->tokens) : (ash_acts){ .tokens = at->tokens };
    r->macs = (uint64_t)(part->w.rows * part->w.cols * ash_q8_rows(&x));
    if (r->unit == ASH_UNIT_INT8)
        r->slots = r->macs * (uint64_t)ash_q8_steps(s->kernels.level, ash_units_shared(), part->w.dtype, &x) / 64;
}

/* Read in floats; written as floats where a norm or a rounding comes before, and in each row of the 8-bit form with 8 bits a
 * column, a float for 32 and a half word for 16 of them. */
static void describe_inputs(const ashlar_session *s, const ash_profile_place *at, ash_profile_record *r)
{
    bool copy = at->role == ASH_ROLE_QKV || at->role == ASH_ROLE_GATE_UP || at->role == ASH_ROLE_OUTPUT ||
                at->op->input[0].rounding != ASH_ROUND_NONE;
    uint64_t values = (uint64_t)(at->op->cols * at->tokens);
    r->name = copy ? "norm, round" : "round";
    r->bytes = values * (copy ? 8 : 4);
    if (ash_runs_in_q8(s, &at->op->part[0])) {
        ash_acts x = ash_q8_inputs(s, at->op, at->tokens);
        r->bytes += (uint64_t)(at->op->cols * ash_q8_rows(&x)) * 5 / 4;
    }
}

/* Keys and values that any token sees are read once at least; each query head multiplies with all that it sees. */
static void describe_attention(const ashlar_session *s, const ash_profile_place *at, ash_profile_record *r)
{
    const ash_hparams *h = &s->model->meta.h;
    r->name = "attention";
    r->bytes = (uint64_t)at->keys_read * (s->kv.bytes / s->kv.positions / h->layers);
    r->macs = 2 * (uint64_t)at->keys_seen * h->heads * h->head_dim;
}

static void describe(const ashlar_session *s, ash_slot slot, ash_profile_record *r)
{
    const ash_profile_place *at = &s->place;
    const ash_hparams *h = &s->model->meta.h;
    uint64_t tokens = (uint64_t)at->tokens, dim = h->head_dim, floats;
    switch (slot) {
    case ASH_SLOT_INPUTS:
        describe_inputs(s, at, r);
        break;
    case ASH_SLOT_FOLD: /* two floats read and one written for each that is left */
        r->name = at->role == ASH_ROLE_GATE_UP ? "swiglu" : "residual";
        floats = (uint64_t)at->op->row_elems / (at->role == ASH_ROLE_GATE_UP ? 2 : 1);
        r->bytes = tokens * floats * 3 * sizeof(float);
        break;
    case ASH_SLOT_ROTATE: /* heads of q and k there and back, those of v there, k and v to the cache */
        r->name = "rope, store";
        floats = 2 * h->heads * dim + 3 * h->kv_heads * dim;
        r->bytes = tokens * (floats * sizeof(float) + s->kv.bytes / s->kv.positions / h->layers);
        break;
    case ASH_SLOT_ATTENTION:
        describe_attention(s, at, r);
        break;
    case ASH_SLOT_EMBED:
        r->name = "embedding";
        r->dtype = s->model->embed.dtype;
        r->bytes = tokens * ((uint64_t)s->model->embed.panel_bytes / ASH_PANEL_ROWS + h->hidden * sizeof(float));
        break;
    default:
        describe_part(s, at, slot - ASH_SLOT_PART, r);
    }
}

void ash_profile_phase(ashlar_session *s, uint32_t thread)
{
    ash_profile_clock *own = &s->clock[thread];
    uint32_t threads = ash_pool_threads(s->pool), turn = own->phase++ & 1;
    int64_t now = own->since = now_ns(), left = now - s->place.since;
    if (thread != 0)
        return;
    const ash_profile_record empty = { .layer = s->place.layer, .role = s->place.role, .dtype = ASH_DTYPE_COUNT };
    for (ash_slot slot = 0; slot < ASH_SLOT_COUNT; slot++) {
        int64_t sum = 0;
        for (uint32_t t = 0; t < threads; t++) {
            sum += s->clock[t].spent[turn][slot];
            s->clock[t].spent[turn][slot] = 0;
        }
        if (sum == 0)
            continue;
        ash_profile_record r = empty;
        describe(s, slot, &r);
        r.seconds = 1e-9 * (double)sum / threads;
        left -= sum / threads;
        s->profile.fn(s->profile.context, &r);
    }
    ash_profile_record waits = empty;
    waits.name = "waits";
    waits.seconds = 1e-9 * (double)left;
    s->profile.fn(s->profile.context, &waits);
    s->place.since = now; /* what the records cost is a wait of the next phase */
    own->since = now_ns();
}
