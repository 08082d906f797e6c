/* One fragment load of the Q4_K and of the F8_E4M3 tile (format/tile.h), as a gfx12 kernel would write it. It is never
 * launched: tests/cli/gfx12_fragment.sh compiles it and reads the machine code, to see that the layouts become 128-bit
 * loads whose registers go into WMMA as they are, but for the two nibble masks.
 *
 * Weights are the B operand: lane l holds column l & 15 (a row of the matrix), k = 8 (l >> 4) .. + 7 of each step.
 * With SOURCE_ORDER the same weights are read from GGUF's own blocks, as a counter-example that the checks must notice.
 */
typedef int v2i __attribute__((ext_vector_type(2)));
typedef int v4i __attribute__((ext_vector_type(4)));
typedef int v8i __attribute__((ext_vector_type(8)));
typedef float v8f __attribute__((ext_vector_type(8)));

#define KERNEL extern "C" __attribute__((global)) __attribute__((amdgpu_flat_work_group_size(32, 32)))
#define NIBBLES 0x0f0f0f0f

/* Q4_K: `tile`: one tile of 256 + 4 * 512 bytes; `chunk` picks 64 columns. `x`: 4 steps of an int8 A operand, 32 bytes
 * a lane. `out`: 32 lanes x 8 sums, then 32 lanes x 16 bytes of the row's header. */
KERNEL void q4_k_fragment(const char *tile, int chunk, const char *x, int *out)
{
    int lane = (int)__builtin_amdgcn_workitem_id_x();
    const v4i *activations = (const v4i *)(x + 32 * lane);
    v4i x01 = activations[0], x23 = activations[1];
#ifdef SOURCE_ORDER
    /* The row's block of 144 bytes: header, then qs; the nibbles of step s and s + 2 share bytes. */
    const char *block = tile + 144 * (lane & 15), *qs = block + 16 + 32 * chunk + 8 * (lane >> 4);
    v4i header = *(const v4i *)block;
    v2i first = *(const v2i *)qs, second = *(const v2i *)(qs + 16);
    v2i b0 = first & NIBBLES, b1 = second & NIBBLES, b2 = (first >> 4) & NIBBLES, b3 = (second >> 4) & NIBBLES;
#else
    v4i header = *(const v4i *)(tile + 16 * (lane & 15));
    v4i w = *(const v4i *)(tile + 256 + 512 * chunk + 16 * lane);
    v2i b0 = { w.x & NIBBLES, (w.x >> 4) & NIBBLES }, b1 = { w.y & NIBBLES, (w.y >> 4) & NIBBLES };
    v2i b2 = { w.z & NIBBLES, (w.z >> 4) & NIBBLES }, b3 = { w.w & NIBBLES, (w.w >> 4) & NIBBLES };
#endif
    v8i sum = { 0, 0, 0, 0, 0, 0, 0, 0 };
    sum = __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(true, x01.xy, false, b0, sum, false);
    sum = __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(true, x01.zw, false, b1, sum, false);
    sum = __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(true, x23.xy, false, b2, sum, false);
    sum = __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(true, x23.zw, false, b3, sum, false);
    ((v8i *)out)[lane] = sum;
    ((v4i *)(out + 256))[lane] = header;
}

/* F8_E4M3: `tile` is one tile of 512 bytes, 32 columns. `x`: 2 steps of an fp8 A operand, 16 bytes a lane. */
KERNEL void f8_fragment(const char *tile, const char *x, float *out)
{
    int lane = (int)__builtin_amdgcn_workitem_id_x();
    v4i a = *(const v4i *)(x + 16 * lane);
#ifdef SOURCE_ORDER
    const char *row = tile + 32 * (lane & 15) + 8 * (lane >> 4);
    v2i b0 = *(const v2i *)row, b1 = *(const v2i *)(row + 16);
#else
    v4i w = *(const v4i *)(tile + 16 * lane);
    v2i b0 = w.xy, b1 = w.zw;
#endif
    v8f sum = { 0, 0, 0, 0, 0, 0, 0, 0 };
    sum = __builtin_amdgcn_wmma_f32_16x16x16_fp8_fp8_w32_gfx12(a.xy, b0, sum);
    sum = __builtin_amdgcn_wmma_f32_16x16x16_fp8_fp8_w32_gfx12(a.zw, b1, sum);
    ((v8f *)out)[lane] = sum;
}
