/* Where ash_gfx_inputs puts token t, column k, of rows that are padded to `padded` columns. */
#ifndef ASHLAR_TESTS_GFX12_TILES_H
#define ASHLAR_TESTS_GFX12_TILES_H

#include <stddef.h>
#include <stdint.h>

/* A byte of INT8 or FP8: tiles of 16 x 32. */
static inline size_t gfx_place_8(int64_t padded, int64_t t, int64_t k)
{
    int64_t lane = t % 16 + 16 * (k / 8 % 2);
    return (size_t)(t / 16 * 16 * padded + k / 32 * 512 + 16 * lane + 8 * (k / 16 % 2) + k % 8);
}
/* An element of F16 or BF16: tiles of 16 x 16. */
static inline size_t gfx_place_16(int64_t padded, int64_t t, int64_t k)
{
    int64_t lane = t % 16 + 16 * (k / 8 % 2);
    return (size_t)(t / 16 * 16 * padded + k / 16 * 256 + 8 * lane + k % 8);
}

#endif
