#include "quant/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#define LIBRARY "libopenblas.so.0"

/* LAPACK by its Fortran names: 32-bit integers, every argument by address, the length of a text last. */
typedef void factor_fn(const char *triangle, const int *n, double *a, const int *stride, int *info, size_t length);
typedef void eigen_fn(const char *job, const char *triangle, const int *n, double *a, const int *stride, double *values,
                      double *work, const int *work_size, int *integers, const int *integers_size, int *info,
                      size_t job_length, size_t length);
typedef void sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                      const float *b, int ldb, float beta, float *c, int ldc);
typedef void dgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, double alpha, const double *a, int lda,
                      const double *b, int ldb, double beta, double *c, int ldc);
enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* CBLAS's numbers */

struct ash_blas {
    sgemm_fn *sgemm;
    dgemm_fn *dgemm;
    factor_fn *potrf, *potri;
    eigen_fn *syevd;
    void (*set_threads)(int);
};

static ash_blas loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    *(void **)&loaded.sgemm = dlsym(library, "cblas_sgemm");
    *(void **)&loaded.dgemm = dlsym(library, "cblas_dgemm");
    *(void **)&loaded.potrf = dlsym(library, "dpotrf_");
    *(void **)&loaded.potri = dlsym(library, "dpotri_");
    *(void **)&loaded.syevd = dlsym(library, "dsyevd_");
    *(void **)&loaded.set_threads = dlsym(library, "openblas_set_num_threads");
    if (loaded.set_threads)
        loaded.set_threads(1);
}

ash_status ash_blas_load(const ash_blas **out, ash_error *err)
{
    pthread_once(&once, load);
    *out = NULL;
    if (!loaded.sgemm || !loaded.dgemm || !loaded.potrf || !loaded.potri || !loaded.syevd ||
        !loaded.set_threads)
        return ash_fail(err, ASH_E_UNSUPPORTED, LIBRARY " with LAPACK inside is missing; install the package "
                        "libopenblas0");
    *out = &loaded;
    return ASH_OK;
}

void ash_blas_gram(const ash_blas *blas, int64_t m, int64_t n, int64_t k, const float *a, int64_t a_stride,
                   const float *b, int64_t b_stride, float *c, int64_t c_stride)
{
    blas->sgemm(ROW_MAJOR, TRANSPOSED, PLAIN, (int)m, (int)n, (int)k, 1, a, (int)a_stride, b, (int)b_stride, 1, c,
                (int)c_stride);
}

void ash_blas_multiply(const ash_blas *blas, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                       int64_t a_stride, const float *b, int64_t b_stride, float *c, int64_t c_stride)
{
    blas->sgemm(ROW_MAJOR, PLAIN, PLAIN, (int)m, (int)n, (int)k, alpha, a, (int)a_stride, b, (int)b_stride, 1, c,
                (int)c_stride);
}

void ash_blas_multiply_f64(const ash_blas *blas, int64_t m, int64_t n, int64_t k, const double *a, int64_t a_stride,
                           const double *b, int64_t b_stride, double *c, int64_t c_stride)
{
    blas->dgemm(ROW_MAJOR, PLAIN, PLAIN, (int)m, (int)n, (int)k, 1, a, (int)a_stride, b, (int)b_stride, 0, c,
                (int)c_stride);
}

void ash_blas_outer(const ash_blas *blas, int64_t m, int64_t k, const float *a, int64_t a_stride, float *c)
{
    blas->sgemm(ROW_MAJOR, PLAIN, TRANSPOSED, (int)m, (int)m, (int)k, 1, a, (int)a_stride, a, (int)a_stride, 0, c,
                (int)m);
}

/* LAPACK is column-major: its lower triangle is our upper one, and its L L^T our U^T U. */
int ash_blas_cholesky(const ash_blas *blas, int64_t n, double *a)
{
    int size = (int)n, info = 0;
    blas->potrf("L", &size, a, &size, &info, 1);
    return info;
}

int ash_blas_invert(const ash_blas *blas, int64_t n, double *a)
{
    int size = (int)n, info = 0;
    blas->potri("L", &size, a, &size, &info, 1);
    return info;
}

int ash_blas_eigen(const ash_blas *blas, int64_t n, double *a)
{
    int size = (int)n, info = 0, work_size = 1 + 6 * size + 2 * size * size, integers_size = 3 + 5 * size;
    double *values = malloc(((size_t)n + (size_t)work_size) * sizeof *values);
    int *integers = malloc((size_t)integers_size * sizeof *integers);
    if (values && integers)
        blas->syevd("V", "L", &size, a, &size, values, values + n, &work_size, integers, &integers_size, &info, 1, 1);
    else
        info = 1;
    free(values);
    free(integers);
    return info;
}
