/* Codes of 16 rows by error feedback (ash_feed_fn of kernels.h). kernels/scalar/feed.c and kernels/x86/feed_*.c include
 * this after a vec.h. A lane is a row; every level runs the same operations on it and gives the same bits.
 *
 * Eight columns at a time: what the sums before them ask of the eight is a small matrix product, taken in registers; a
 * column's own step corrects those after it among the eight by ash_feed_side's `near`; then the sums take in all eight
 * errors, another product. That is 2 rank + 3.5 multiply-adds a weight, nearly all of them independent of each other. */
#ifndef ASHLAR_KERNELS_FEED_H
#define ASHLAR_KERNELS_FEED_H

#include "kernels/kernels.h"

/* Tiles live in registers: loops over one are written out. */
#define TILE ASH_FEED_TILE
#define EACH _Pragma("GCC unroll 8")
#define ROWS ASH_PANEL_ROWS

/* Columns [at, at + count) of the lanes from `lane` on. */
static inline void feed_tile(const ash_feed *f, int at, int count, int lane)
{
    const ash_feed_side *by = f->side;
    const float *pull = by->pull + (f->first + at) * f->rank, *near = by->near + (f->first + at) * TILE;
    const float *directions = f->directions + (f->first + at) * f->rank, *gain = by->gain + f->first + at;
    int sub = at / f->sub_elems;
    const vec scale = v_load(f->scale + sub * ROWS + lane), min = v_load(f->min + sub * ROWS + lane);
    const vec inverse = v_load(f->inverse + sub * ROWS + lane), low = v_set(f->low), high = v_set(f->high);
    const int64_t rank = f->rank;
    float *sums = f->sum + lane;
    const vec less = v_sub(v_set(0), min);
    vec ask[TILE], step[TILE];
    EACH
    for (int j = 0; j < TILE; j++)
        ask[j] = step[j] = v_set(0);
    for (int64_t i = 0; i < rank; i++) {
        vec sum = v_load(sums + i * ROWS);
        EACH
        for (int j = 0; j < TILE; j++)
            ask[j] = v_fma(v_set(pull[i * TILE + j]), sum, ask[j]);
    }
    EACH
    for (int j = 0; j < TILE; j++) {
        if (j >= count)
            break;
        vec x = v_load(f->x + (at + j) * ROWS + lane), was = v_set(0);
        if (!f->fresh) {
            was = v_sub(v_fma(scale, v_load(f->code + (at + j) * ROWS + lane), less), x);
            ask[j] = v_sub(ask[j], v_mul(v_set(near[j * TILE + j]), was));
        }
        vec wanted = v_sub(x, v_mul(v_set(gain[j]), ask[j]));
        vec code = v_round(v_max(v_min(v_mul(v_add(wanted, min), inverse), high), low));
        v_store(f->code + (at + j) * ROWS + lane, code);
        step[j] = v_sub(v_sub(v_fma(scale, code, less), x), was);
        EACH
        for (int l = j + 1; l < TILE; l++)
            ask[l] = v_fma(v_set(near[l * TILE + j]), step[j], ask[l]);
    }
    for (int64_t i = 0; i < rank; i++) {
        vec sum = v_load(sums + i * ROWS);
        EACH
        for (int j = 0; j < TILE; j++)
            sum = v_fma(v_set(directions[i * TILE + j]), step[j], sum);
        v_store(sums + i * ROWS, sum);
    }
}

void VEC_FN(ash_feed)(const ash_feed *f)
{
    for (int lane = 0; lane < ROWS; lane += VEC_LANES)
        for (int at = 0; at < f->count; at += TILE)
            feed_tile(f, at, f->count - at < TILE ? f->count - at : TILE, lane);
}

#endif
