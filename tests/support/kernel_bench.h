/* Speeds of all kernels that this machine can run, with the ratio to the scalar one of the same operation and type. */
#ifndef ASHLAR_TESTS_SUPPORT_KERNEL_BENCH_H
#define ASHLAR_TESTS_SUPPORT_KERNEL_BENCH_H

/* Those whose name contains `filter`. Prints a table; returns 0. One thread. */
int kernel_bench(const char *filter);

#endif
