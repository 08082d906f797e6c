/* Kernels whose registers do not suffice, so that the compiler must spill (tests/unit/test_gfx12.c). */
#define KERNEL extern "C" __attribute__((global))
#define TID ((int)__builtin_amdgcn_workitem_id_x())
#define N 48
#define SCALARS 64

/* y[7 i mod N] = x[i] x[N - 1 - i], of rows of 32: all of x is read before y is written. */
KERNEL __attribute__((amdgpu_num_vgpr(16))) void spills(const float *x, float *y)
{
    float a[N];
#pragma unroll
    for (int i = 0; i < N; i++)
        a[i] = x[TID + 32 * i];
    asm volatile("" ::: "memory");
#pragma unroll
    for (int i = 0; i < N; i++)
        y[TID + 32 * (i * 7 % N)] = a[i] * a[N - 1 - i];
}

KERNEL __attribute__((amdgpu_num_sgpr(32))) void spills_scalars(int *y)
{
    int a[SCALARS], sum = 0;
#pragma unroll
    for (int i = 0; i < SCALARS; i++)
        asm volatile("s_mov_b32 %0, %1" : "=s"(a[i]) : "i"(i));
#pragma unroll
    for (int i = 0; i < SCALARS; i++)
        asm volatile("" : "+s"(a[SCALARS - 1 - i]));
#pragma unroll
    for (int i = 0; i < SCALARS; i++)
        sum = sum * 3 + a[i];
    y[TID] = sum;
}
