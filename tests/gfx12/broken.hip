/* Kernels that are wrong on purpose, one for each thing that the interpreter must find
 * (tests/unit/test_gfx12_broken.c has what it says of each). What the compiler would not let pass is in broken.s. All
 * take x, y and n, in workgroups of 64. */
typedef int v2i __attribute__((ext_vector_type(2)));
typedef int v8i __attribute__((ext_vector_type(8)));

#define KERNEL extern "C" __attribute__((global)) __attribute__((amdgpu_flat_work_group_size(64, 64)))
#define TID ((int)__builtin_amdgcn_workitem_id_x())
#define WAVE ((int)__builtin_amdgcn_readfirstlane(TID / 32))
typedef __attribute__((address_space(3))) volatile float lds_float;
typedef __attribute__((address_space(3))) int lds_int;

static inline __attribute__((device)) void barrier(void)
{
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
}

KERNEL void reads_beyond(const float *x, float *y, int n) { y[TID] = x[TID + n]; }
KERNEL void writes_beyond(const float *x, float *y, int n) { y[TID + n] = x[TID]; }
KERNEL void writes_input(const float *x, float *y, int n) { ((float *)x)[TID] = y[TID] + (float)n; }
KERNEL void misaligned(const float *x, float *y, int n) { y[TID] = *(const float *)((const char *)x + 4 * TID + 2); }
KERNEL void scalar_beyond(const float *x, float *y, int n) { y[TID] = x[n * 100]; }

/* The upper half of the array is never written. */
KERNEL void lds_unwritten(const float *x, float *y, int n)
{
    __attribute__((shared)) static float part[64];
    lds_float *p = (lds_float *)part;
    if (TID < 32)
        p[TID] = x[TID];
    barrier();
    y[TID] = p[TID];
}

KERNEL void lds_beyond(const float *x, float *y, int n)
{
    __attribute__((shared)) static float part[64];
    lds_float *p = (lds_float *)part;
    p[TID + n] = x[TID];
    barrier();
    y[TID] = p[63 - TID];
}

/* The second wave's upper lanes alone. */
KERNEL void lds_beyond_in_part(const float *x, float *y, int n)
{
    __attribute__((shared)) static float part[64];
    lds_float *p = (lds_float *)part;
    p[TID + n / 4] = x[TID];
    barrier();
    y[TID] = p[63 - TID / 2];
}

/* Each wave reads what the other one writes. */
KERNEL void no_barrier_before_read(const float *x, float *y, int n)
{
    __attribute__((shared)) static float part[64];
    lds_float *p = (lds_float *)part;
    p[TID] = x[TID];
    barrier();
    p[TID] = x[TID] * 2;
    y[TID] = p[63 - TID];
}

/* The array is used again while the other wave may still read it. */
KERNEL void no_barrier_before_write(const float *x, float *y, int n)
{
    __attribute__((shared)) static float part[64];
    lds_float *p = (lds_float *)part;
    p[TID] = x[TID];
    barrier();
    float other = p[63 - TID];
    p[TID] = other + 1;
    barrier();
    y[TID] = p[63 - TID];
}

/* Both waves write the same place. */
KERNEL void two_writers(const float *x, float *y, int n)
{
    __attribute__((shared)) static float part[64];
    lds_float *p = (lds_float *)part;
    p[TID % 32] = x[TID];
    barrier();
    y[TID] = p[TID % 32];
}

/* A sum by atomics, read with no barrier behind it. */
KERNEL void atomics_unordered(const float *x, float *y, int n)
{
    __attribute__((shared)) static int sum[1];
    volatile lds_int *p = (volatile lds_int *)sum;
    if (TID == 0)
        *p = n;
    barrier();
    __atomic_fetch_add((lds_int *)sum, 1 + (int)x[TID], __ATOMIC_RELAXED);
    y[TID] = (float)*p;
}

KERNEL void barrier_of_one_wave(const float *x, float *y, int n)
{
    if (WAVE == 0)
        barrier();
    y[TID] = x[TID];
}

KERNEL void endless(const float *x, float *y, int n)
{
    while (n == *(volatile const int *)x)
        ((volatile float *)y)[TID] = 0;
}

KERNEL void matrix_of_half_a_wave(const float *x, float *y, int n)
{
    v8i sum = { 0, 0, 0, 0, 0, 0, 0, 0 };
    v2i a = { TID, n }, b = { TID, TID };
    if (TID % 32 < 16)
        sum = __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(true, a, true, b, sum, false);
    y[TID] = (float)sum[0];
}

/* What the interpreter does not know is refused when the code is loaded, so each has a code object of its own. */
#ifdef UNKNOWN_INSTRUCTION
KERNEL void unknown_instruction(const float *x, float *y, int n)
{
    int r = n;
    asm volatile("v_lerp_u8 %0, %0, %0, %0" : "+v"(r));
    y[TID] = (float)r;
}
#endif
#ifdef UNKNOWN_MODIFIER
KERNEL void unknown_modifier(const float *x, float *y, int n)
{
    int r = n;
    asm volatile("v_pk_add_u16 %0, %0, %0 neg_lo:[1,0]" : "+v"(r));
    y[TID] = (float)r;
}
#endif
