/* Which HIP library is taken: the names in their order, past those that are absent or of no use; ASHLAR_HIP_LIBRARY alone where
 * it is set. The driver and the libraries' folder are this program's own: its access and dlopen stand before the C library's. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/hip/hip.h"
#include "tests/support/hip.h"

#define NAMES 4
static const char *const names[NAMES] = { "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so" };

/* What a name stands for: no file, the stand-in, a text file, a library of something else. */
typedef enum kind { ABSENT, GOOD, BROKEN, OTHER } kind;

static struct {
    bool driver; /* whether there is a /dev/kfd */
    kind files[NAMES];
    char tried[256]; /* names asked for, each with a blank behind it */
} machine;

int access(const char *path, int mode)
{
    if (strcmp(path, "/dev/kfd") != 0)
        return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
    errno = ENOENT;
    return machine.driver ? 0 : -1;
}

void *dlopen(const char *name, int flags)
{
    void *(*next)(const char *, int);
    void *symbol = dlsym(RTLD_NEXT, "dlopen");
    char path[600];
    memcpy(&next, &symbol, sizeof next);
    for (int i = 0; name && i < NAMES; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        size_t used = strlen(machine.tried);
        snprintf(machine.tried + used, sizeof machine.tried - used, "%s ", name);
        switch (machine.files[i]) {
        case GOOD: return next(standin_path(path), flags);
        case OTHER: return next("libzstd.so.1", flags);
        default: break;
        }
        char *file = test_path(name); /* in a folder of this test, not among the system's libraries */
        if (machine.files[i] == BROKEN)
            test_write_file(file, "no library", 10);
        else
            unlink(file);
        void *library = next(file, flags);
        free(file);
        return library;
    }
    return next(name, flags);
}

static ash_status load_on(kind so_7, kind so_6, kind so_5, kind so, ash_hip *out, ash_error *err)
{
    hip_standin();
    unsetenv("ASHLAR_HIP_LIBRARY");
    machine.driver = true;
    machine.tried[0] = 0;
    const kind files[NAMES] = { so_7, so_6, so_5, so };
    memcpy(machine.files, files, sizeof files);
    return ash_hip_load(out, err);
}

static void test_newest_first(void **state)
{
    (void)state;
    ash_hip h;
    ash_error err;
    assert_ok(load_on(GOOD, GOOD, GOOD, GOOD, &h, &err), &err);
    assert_string_equal(h.path, "libamdhip64.so.7");
    assert_string_equal(machine.tried, "libamdhip64.so.7 ");
    assert_ok(load_on(ABSENT, GOOD, GOOD, GOOD, &h, &err), &err);
    assert_string_equal(h.path, "libamdhip64.so.6");
    assert_ok(load_on(ABSENT, ABSENT, GOOD, GOOD, &h, &err), &err);
    assert_string_equal(h.path, "libamdhip64.so.5");
    assert_ok(load_on(ABSENT, ABSENT, ABSENT, GOOD, &h, &err), &err);
    assert_string_equal(h.path, "libamdhip64.so");
    assert_string_equal(machine.tried, "libamdhip64.so.7 libamdhip64.so.6 libamdhip64.so.5 libamdhip64.so ");
}

/* A file that is no library, and a library that is not HIP, do not end the search. */
static void test_past_bad_ones(void **state)
{
    (void)state;
    ash_hip h;
    ash_error err;
    assert_ok(load_on(BROKEN, OTHER, GOOD, GOOD, &h, &err), &err);
    assert_string_equal(h.path, "libamdhip64.so.5");
    assert_non_null(h.GetErrorString);
}

static void refused(kind so_7, kind so_6, kind so_5, kind so, const char *says, const char *not)
{
    ash_hip h;
    ash_error err = { 0 };
    assert_int_equal(load_on(so_7, so_6, so_5, so, &h, &err), ASH_E_UNSUPPORTED);
    assert_null(h.library);
    if (!strstr(err.text, says) || strstr(err.text, not) || strchr(err.text, '\n'))
        fail_msg("%s", err.text);
    assert_string_equal(machine.tried, "libamdhip64.so.7 libamdhip64.so.6 libamdhip64.so.5 libamdhip64.so ");
}

/* Without any: to install one; with one of no use: what is wrong with the first of these. */
static void test_none(void **state)
{
    (void)state;
    refused(ABSENT, ABSENT, ABSENT, ABSENT, "no libamdhip64.so is installed", "cannot open");
    refused(ABSENT, BROKEN, ABSENT, OTHER, "libamdhip64.so.6: ", "is installed");
    refused(ABSENT, ABSENT, OTHER, BROKEN, "libamdhip64.so.5 has no hip", "is installed");
}

static void test_named(void **state)
{
    (void)state;
    ash_hip h;
    ash_error err = { 0 };
    char path[512];
    assert_ok(load_on(GOOD, GOOD, GOOD, GOOD, &h, &err), &err);
    machine.driver = false; /* not asked */
    machine.tried[0] = 0;
    setenv("ASHLAR_HIP_LIBRARY", standin_path(path), 1);
    assert_ok(ash_hip_load(&h, &err), &err);
    assert_string_equal(h.path, path);
    assert_string_equal(machine.tried, "");
    machine.driver = true;
    setenv("ASHLAR_HIP_LIBRARY", "/absent/library.so", 1); /* no other is taken in its place */
    assert_int_equal(ash_hip_load(&h, &err), ASH_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "ASHLAR_HIP_LIBRARY: /absent/library.so"));
    assert_null(h.library);
    assert_string_equal(machine.tried, "");
    setenv("ASHLAR_HIP_LIBRARY", "", 1); /* empty: not set */
    assert_ok(ash_hip_load(&h, &err), &err);
    assert_string_equal(h.path, "libamdhip64.so.7");
    machine.driver = false;
    machine.tried[0] = 0;
    assert_int_equal(ash_hip_load(&h, &err), ASH_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "/dev/kfd"));
    assert_string_equal(machine.tried, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_newest_first), cmocka_unit_test(test_past_bad_ones),
                                        cmocka_unit_test(test_none), cmocka_unit_test(test_named) };
    return cmocka_run_group_tests_name("hip_library", tests, NULL, NULL);
}
