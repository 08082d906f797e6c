/* One lane of a wave of 32: every builtin that the kernels use, under a name of ours. Another GPU with 32 lanes takes a
 * second half of this file, and nothing else.
 *
 * A workgroup is WAVES waves. Functions marked "whole wave" exchange values between lanes: all 32 must be active.
 * Fragments of a 16x16x16 product, with r = lane & 15 and h = lane >> 4:
 *   A  row r, k = 8 h .. + 7      B  column r, k = 8 h .. + 7      C, D  column r, rows 8 h .. + 7
 * Sources: LLVM 19's AMDGPU builtins; the layouts as published for gfx1201 (tests/gfx12/ops_matrix.c executes them).
 */
#ifndef ASHLAR_KERNELS_GFX12_LANE_H
#define ASHLAR_KERNELS_GFX12_LANE_H

#include <stdint.h>

#define DEVICE static inline __attribute__((device, always_inline))
/* A kernel of workgroups of `threads` lanes, launched one-dimensionally. */
#define KERNEL(threads)                                         \
    extern "C" __attribute__((global, visibility("protected"))) \
    __attribute__((amdgpu_flat_work_group_size(threads, threads)))
/* Local memory of a workgroup, inside a kernel. */
#define SHARED __attribute__((shared, aligned(16)))

#define LANES 32

typedef int v2i __attribute__((ext_vector_type(2)));
typedef int v4i __attribute__((ext_vector_type(4)));
typedef int v8i __attribute__((ext_vector_type(8)));
typedef unsigned v2u __attribute__((ext_vector_type(2)));
typedef unsigned v4u __attribute__((ext_vector_type(4)));
typedef float v2f __attribute__((ext_vector_type(2)));
typedef float v4f __attribute__((ext_vector_type(4)));
typedef float v8f __attribute__((ext_vector_type(8)));
typedef _Float16 v2h __attribute__((ext_vector_type(2)));
typedef _Float16 v4h __attribute__((ext_vector_type(4)));
typedef _Float16 v8h __attribute__((ext_vector_type(8)));
typedef __bf16 v2b __attribute__((ext_vector_type(2)));
typedef short v8s __attribute__((ext_vector_type(8)));
typedef short v2s __attribute__((ext_vector_type(2)));
typedef unsigned short v2us __attribute__((ext_vector_type(2)));

/* ---- who ---- */

DEVICE int thread_id(void) { return (int)__builtin_amdgcn_workitem_id_x(); }
DEVICE int lane_id(void) { return thread_id() & (LANES - 1); }
/* The same in all lanes, and known to be so: what depends on it stays scalar. */
DEVICE int uniform(int x) { return __builtin_amdgcn_readfirstlane(x); }
DEVICE float uniform_float(float x) { return __builtin_bit_cast(float, uniform(__builtin_bit_cast(int, x))); }
/* A pointer that is the same in all lanes, in scalar registers. */
template <class T> DEVICE T *uniform_pointer(T *p)
{
    uint64_t at = (uint64_t)p;
    return (T *)((uint64_t)(uint32_t)uniform((int)(at >> 32)) << 32 | (uint32_t)uniform((int)at));
}
DEVICE int wave_id(void) { return uniform(thread_id() / LANES); }
DEVICE int group_x(void) { return (int)__builtin_amdgcn_workgroup_id_x(); }
DEVICE int group_y(void) { return (int)__builtin_amdgcn_workgroup_id_y(); }
DEVICE int group_z(void) { return (int)__builtin_amdgcn_workgroup_id_z(); }

/* Numbers of which the compiler knows nothing, and which it computes here: so the parts of an address stay a scalar and
 * a vector register of 32 bits, where a loop would otherwise carry a pair of vector registers for each. */
DEVICE int uniform_here(int x)
{
    x = uniform(x);
    asm volatile("" : "+s"(x));
    return x;
}
/* A sum that is wanted here: its terms are not put off until the loop's end, which would keep them all in registers. */
DEVICE float sum_here(float x)
{
    asm volatile("" : "+v"(x));
    return x;
}
template <class T> DEVICE T fragment_here(T x)
{
    asm volatile("" : "+v"(x));
    return x;
}
/* x, but what is computed from it inside a loop stays there: hoisted masks and addresses would fill the scalar
 * registers. */
DEVICE int here(int x)
{
    asm volatile("" : "+v"(x));
    return x;
}
DEVICE unsigned offset_here(int x) { return (unsigned)here(x); } /* of an address: see uniform_here */
DEVICE int here_scalar(int x)
{
    asm volatile("" : "+s"(x));
    return x;
}

/* ---- order ---- */

/* All waves of the workgroup meet; what they wrote to local memory before is seen after. */
DEVICE void barrier(void)
{
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
}
/* Nothing is scheduled across: it keeps loads from being moved up until registers run out. */
DEVICE void keep_order(void) { __builtin_amdgcn_sched_barrier(0); }
/* What lanes of this wave wrote to local memory before is seen by its other lanes after. */
DEVICE void wave_order(void)
{
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront", "local");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront", "local");
}
/* What this workgroup wrote to global memory is seen by whoever sees a later atomic of it, and the reverse. */
DEVICE void release_device(void) { __builtin_amdgcn_fence(__ATOMIC_RELEASE, "agent"); }
DEVICE void acquire_device(void) { __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "agent"); }
DEVICE unsigned add_device(unsigned *p, unsigned x)
{
    return __hip_atomic_fetch_add(p, x, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

/* ---- between lanes ---- */

template <int control> DEVICE int dpp(int x) { return __builtin_amdgcn_update_dpp(0, x, control, 0xf, 0xf, true); }
template <int control> DEVICE float dpp(float x)
{
    return __builtin_bit_cast(float, dpp<control>(__builtin_bit_cast(int, x)));
}
/* The value of lane ^ mask, mask 1 to 15. Whole wave. */
template <int mask> DEVICE float from_xor(float x) { return dpp<0x160 | mask>(x); }
template <int mask> DEVICE int from_xor(int x) { return dpp<0x160 | mask>(x); }
/* The value of lane ^ 16. Whole wave. Pinned: the compiler may otherwise move it under a later condition on the lane,
 * where it reads lanes that are not active. */
DEVICE int from_other_half(int x)
{
    int y = __builtin_amdgcn_permlanex16(x, x, 0x76543210, (int)0xfedcba98, false, false);
    asm volatile("" : "+v"(y));
    return y;
}
DEVICE float from_other_half(float x) { return __builtin_bit_cast(float, from_other_half(__builtin_bit_cast(int, x))); }
/* The value of any lane. Whole wave. */
DEVICE int from_lane(int x, int lane) { return __builtin_amdgcn_ds_bpermute(4 * lane, x); }
DEVICE float from_lane(float x, int lane)
{
    return __builtin_bit_cast(float, from_lane(__builtin_bit_cast(int, x), lane));
}

/* A bit for each lane where the condition holds; how many of them are below this lane. */
DEVICE unsigned lanes_where(bool condition) { return __builtin_amdgcn_ballot_w32(condition); }
DEVICE int count_below(unsigned lanes) { return (int)__builtin_amdgcn_mbcnt_lo(lanes, 0); }
DEVICE int count_of(unsigned lanes) { return __builtin_popcount(lanes); }

/* Over the 16 lanes of each half; over all 32. In every lane. Whole wave. */
DEVICE float half_sum(float x)
{
    x += from_xor<1>(x);
    x += from_xor<2>(x);
    x += from_xor<4>(x);
    return x + from_xor<8>(x);
}
DEVICE float wave_sum(float x)
{
    x = half_sum(x);
    return x + from_other_half(x);
}
DEVICE int wave_sum(int x)
{
    x += from_xor<1>(x);
    x += from_xor<2>(x);
    x += from_xor<4>(x);
    x += from_xor<8>(x);
    return x + from_other_half(x);
}
DEVICE float larger(float a, float b) { return __builtin_fmaxf(a, b); }
DEVICE float half_max(float x)
{
    x = larger(x, from_xor<1>(x));
    x = larger(x, from_xor<2>(x));
    x = larger(x, from_xor<4>(x));
    return larger(x, from_xor<8>(x));
}
DEVICE float wave_max(float x)
{
    x = half_max(x);
    return larger(x, from_other_half(x));
}
DEVICE unsigned larger_bits(unsigned a, int b) { return (unsigned)b > a ? (unsigned)b : a; }
DEVICE unsigned wave_max_bits(unsigned x)
{
    x = larger_bits(x, from_xor<1>((int)x));
    x = larger_bits(x, from_xor<2>((int)x));
    x = larger_bits(x, from_xor<4>((int)x));
    x = larger_bits(x, from_xor<8>((int)x));
    return larger_bits(x, from_other_half((int)x));
}

/* ---- memory ---- */

/* 16 bytes that are read once: weights. They should not push activations out of the caches. */
DEVICE v4u load_once(const void *p) { return __builtin_nontemporal_load((const v4u *)p); }
template <class T> DEVICE T load(const void *p) { return *(const T *)p; }
template <class T> DEVICE void store(void *p, T x) { *(T *)p = x; }

/* Loads from a base that all lanes share and that stays in scalar registers, at a lane's offset. Also for pointers
 * which the compiler no longer knows to be global. In a loop, it would otherwise add the offset to the base once and
 * whatever the base moves by to each lane: two instructions a load. So base and offset are made opaque where they are
 * used: keep the offset in a variable of its own, else each use costs a copy. */
#define GLOBAL __attribute__((address_space(1)))
DEVICE const GLOBAL char *opaque(const void *base, unsigned &offset)
{
    const GLOBAL char *p = (const GLOBAL char *)base;
    asm("" : "+s"(p));
    asm("" : "+v"(offset)); /* apart: an output of both kinds counts as different in each lane */
    return p + offset;
}
template <class T> DEVICE T load_at(const void *base, unsigned &offset)
{
    return *(const GLOBAL T *)opaque(base, offset);
}
template <class T> DEVICE void store_at(void *base, unsigned &offset, T x) { *(GLOBAL T *)opaque(base, offset) = x; }
DEVICE v4u load_once_at(const void *base, unsigned &offset)
{
    return __builtin_nontemporal_load((const GLOBAL v4u *)opaque(base, offset));
}

/* ---- products ---- */

/* sum of four products of bytes + c: signed or unsigned a, signed b. */
DEVICE int dot4_i8(unsigned a, unsigned b, int c)
{
    return __builtin_amdgcn_sudot4(true, (int)a, true, (int)b, c, false);
}
DEVICE int dot4_u8(unsigned a, unsigned b, int c)
{
    return __builtin_amdgcn_sudot4(false, (int)a, true, (int)b, c, false);
}
/* a * b + c for a and b of 24 bits, which costs a quarter of 32. The compiler does not see how small dot4's results
 * are. */
DEVICE int mad_24(int a, int b, int c)
{
    int sum;
    asm("v_mad_i32_i24 %0, %1, %2, %3" : "=v"(sum) : "v"(a), "v"(b), "v"(c));
    return sum;
}
DEVICE float dot4_e4m3(unsigned a, unsigned b, float c) { return __builtin_amdgcn_dot4_f32_fp8_fp8(a, b, c); }
DEVICE float dot2_f16(v2h a, v2h b, float c) { return __builtin_amdgcn_fdot2(a, b, c, false); }
DEVICE float dot2_bf16(v2s a, v2s b, float c)
{
    return __builtin_amdgcn_fdot2_f32_bf16(__builtin_bit_cast(v2b, a), __builtin_bit_cast(v2b, b), c, false);
}

DEVICE v8i mma_i8(v2i a, v2i b, v8i c)
{
    return __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(true, a, true, b, c, false);
}
DEVICE v8i mma_u8(v2i a, v2i b, v8i c) /* a signed, b unsigned */
{
    return __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(true, a, false, b, c, false);
}
DEVICE v8f mma_e4m3(v2i a, v2i b, v8f c) { return __builtin_amdgcn_wmma_f32_16x16x16_fp8_fp8_w32_gfx12(a, b, c); }
DEVICE v8f mma_f16(v8h a, v8h b, v8f c) { return __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(a, b, c); }
DEVICE v8f mma_bf16(v8s a, v8s b, v8f c) { return __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(a, b, c); }

/* ---- bytes ---- */

/* Four bytes by their numbers: 0 to 3 of `low`, 4 to 7 of `high`, 12 is zero. */
DEVICE unsigned choose_bytes(unsigned high, unsigned low, unsigned numbers)
{
    return __builtin_amdgcn_perm(high, low, numbers);
}
/* a * b + c in both halves, modulo 2^16. */
DEVICE unsigned mad_halves(unsigned a, v2us b, v2us c)
{
    return __builtin_bit_cast(unsigned, (v2us)(__builtin_bit_cast(v2us, a) * b + c));
}
DEVICE v2us both_halves(unsigned x) { return (v2us)(unsigned short)x; }
DEVICE unsigned shift_halves_right(unsigned x, int bits)
{
    return __builtin_bit_cast(unsigned, (v2us)(__builtin_bit_cast(v2us, x) >> (unsigned short)bits));
}
template <int byte> DEVICE float byte_to_float(unsigned x) { return (float)(x >> 8 * byte & 255); }
template <int byte> DEVICE float signed_byte_to_float(unsigned x) { return (float)((int)(x << (24 - 8 * byte)) >> 24); }

/* ---- numbers ---- */

DEVICE float exp2_of(float x) { return __builtin_amdgcn_exp2f(x); }
DEVICE float reciprocal(float x) { return __builtin_amdgcn_rcpf(x); }        /* 1 ulp */
DEVICE float reciprocal_root(float x) { return __builtin_amdgcn_rsqf(x); }   /* 1 ulp */
DEVICE float magnitude(float x) { return __builtin_fabsf(x); }
DEVICE float clamped(float x, float low, float high) { return __builtin_amdgcn_fmed3f(x, low, high); }
/* x, rounded to float before anything else: a product stays out of an FMA. */
DEVICE float unfused(float x)
{
    asm("" : "+v"(x));
    return x;
}
/* fmax of three with one instruction: it would otherwise be preceded by others, for signalling NaN. */
DEVICE float largest_of(float a, float b, float c)
{
    float most;
    asm("v_max3_num_f32 %0, %1, %2, %3" : "=v"(most) : "v"(a), "v"(b), "v"(c));
    return most;
}
/* Two floats to f16, the nearest not larger in magnitude: one instruction, where nearest even takes three. */
DEVICE v2h halves_toward_zero(float a, float b) { return __builtin_bit_cast(v2h, __builtin_amdgcn_cvt_pkrtz(a, b)); }
/* x / (1 + e^-x), the exponential taken of -|x|, so that nothing overflows: x t / (1 + t) where x is negative, t = e^x.
 * The exponent -|x| log2 e is off by 1.5 * 2^-24 of itself (product and constant), t so by 1.5 |x| 2^-24, and by 2^-23
 * of exp2; 1 + t, the reciprocal and 2 products add 5 * 2^-24. In all (1.5 |x| + 7) 2^-24 of the result, and |x| 2^-126
 * where t underflows. NaN, and -infinity, give NaN. */
DEVICE float silu(float x)
{
    float t = exp2_of(magnitude(x) * -1.44269504f);
    return (x < 0 ? x * t : x) * reciprocal(1 + t);
}
DEVICE float nearest(float x) { return __builtin_rintf(x); } /* even */

#define E4M3_MAX 448.0f
/* NaN stays NaN, of which v_med3 would make a limit. */
DEVICE float saturated(float x) { return magnitude(x) > E4M3_MAX ? __builtin_copysignf(E4M3_MAX, x) : x; }
/* Two floats within e4m3's range to two bytes, nearest even, into the low or the high half of `old`. */
template <bool high> DEVICE unsigned e4m3_pair(float a, float b, unsigned old)
{
    return (unsigned)__builtin_amdgcn_cvt_pk_fp8_f32(a, b, (int)old, high);
}
/* Two floats to two bytes of e4m3, nearest even, saturating (the instruction gives NaN for what is out of range), into
 * the low or the high half of `old`. */
template <bool high> DEVICE unsigned to_e4m3(float a, float b, unsigned old)
{
    return e4m3_pair<high>(saturated(a), saturated(b), old);
}
/* Two bytes of e4m3, the low or the high half of x. */
template <bool high> DEVICE v2f pair_from_e4m3(unsigned x) { return __builtin_amdgcn_cvt_pk_f32_fp8((int)x, high); }
template <int byte> DEVICE float from_e4m3(unsigned x) { return __builtin_amdgcn_cvt_f32_fp8((int)x, byte); }
DEVICE float half_to_float(unsigned bits) { return (float)__builtin_bit_cast(_Float16, (unsigned short)bits); }
DEVICE float bf16_to_float(unsigned bits) { return __builtin_bit_cast(float, bits << 16); }
/* Nearest even; NaN stays NaN. */
DEVICE unsigned float_to_bf16(float x)
{
    unsigned u = __builtin_bit_cast(unsigned, x);
    unsigned rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return x == x ? rounded : (u >> 16 | 0x40);
}

#endif
