/* RMS norm of a row a workgroup, as a first kernel of more than one wave for the interpreter: sums by DPP, through LDS,
 * across a barrier. rms_norm_racy leaves the barrier out, which the interpreter must notice. */
#define KERNEL extern "C" __attribute__((global)) __attribute__((amdgpu_flat_work_group_size(256, 256)))
#define WAVES 8
typedef __attribute__((address_space(3))) volatile float lds_float; /* volatile: read again behind the barrier */

static inline __attribute__((device)) float xmask(float x, int ctrl_select)
{
    int v = __builtin_bit_cast(int, x), y = 0;
    switch (ctrl_select) {
    case 1: y = __builtin_amdgcn_update_dpp(0, v, 0x161, 0xf, 0xf, true); break;
    case 2: y = __builtin_amdgcn_update_dpp(0, v, 0x162, 0xf, 0xf, true); break;
    case 4: y = __builtin_amdgcn_update_dpp(0, v, 0x164, 0xf, 0xf, true); break;
    default: y = __builtin_amdgcn_update_dpp(0, v, 0x168, 0xf, 0xf, true); break;
    }
    return __builtin_bit_cast(float, y);
}

static inline __attribute__((device)) float wave_sum(float x)
{
    for (int m = 1; m < 16; m *= 2)
        x += xmask(x, m);
    int other = __builtin_amdgcn_permlanex16(0, __builtin_bit_cast(int, x), 0x76543210, 0xfedcba98, false, false);
    asm volatile("" : "+v"(other)); /* else the compiler may sink it under the condition below */
    return x + __builtin_bit_cast(float, other);
}

static inline __attribute__((device)) void norm(const float *x, const float *w, float *y, int n, float eps,
                                                lds_float *part, bool wait)
{
    int t = (int)__builtin_amdgcn_workitem_id_x();
    long row = (long)__builtin_amdgcn_workgroup_id_x() * n;
    float s = 0;
    for (int i = t; i < n; i += 32 * WAVES)
        s += x[row + i] * x[row + i];
    s = wave_sum(s);
    if (t % 32 == 0)
        part[t / 32] = s;
    if (wait) {
        __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
        __builtin_amdgcn_s_barrier();
        __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
    }
    float sum = 0;
    for (int i = 0; i < WAVES; i++)
        sum += part[i];
    float r = __builtin_amdgcn_rsqf(sum / (float)n + eps);
    for (int i = t; i < n; i += 32 * WAVES)
        y[row + i] = x[row + i] * r * w[i];
}

KERNEL void rms_norm(const float *x, const float *w, float *y, int n, float eps)
{
    __attribute__((shared)) static float part[WAVES];
    norm(x, w, y, n, eps, (lds_float *)part, true);
}

KERNEL void rms_norm_racy(const float *x, const float *w, float *y, int n, float eps)
{
    __attribute__((shared)) static float part[WAVES];
    norm(x, w, y, n, eps, (lds_float *)part, false);
}
