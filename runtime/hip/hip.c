#include "runtime/hip/hip.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = { "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so" };

/* POSIX: a symbol's address may be converted to a function's. */
static bool find(void *library, const char *name, void *to, const char **missing)
{
    void *p = dlsym(library, name);
    memcpy(to, &p, sizeof p);
    if (!p && !*missing)
        *missing = name;
    return p != NULL;
}

static const char *find_all(ash_hip *hip)
{
    const char *missing = NULL;
#define ASH_HIP_CALL(name, parameters) find(hip->library, "hip" #name, &hip->name, &missing);
#include "runtime/hip/calls.def"
    find(hip->library, "hipGetErrorString", &hip->GetErrorString, &missing);
    return missing;
}

static ash_status open_library(ash_hip *hip, const char *path, ash_error *err)
{
    hip->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!hip->library) {
        const char *why = dlerror();
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s", why ? why : "cannot be loaded");
    }
    const char *missing = find_all(hip);
    if (missing) {
        dlclose(hip->library);
        hip->library = NULL;
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s has no %s: too old or not HIP", path, missing);
    }
    snprintf(hip->path, sizeof hip->path, "%s", path);
    if (hip->RuntimeGetVersion(&hip->version) != ASH_HIP_SUCCESS)
        hip->version = 0;
    return ASH_OK;
}

/* Whether glibc says that there is no such file; of one that another library needs, it names that one. */
static bool is_absent(const char *name, const ash_error *why)
{
    char text[96];
    snprintf(text, sizeof text, "%s: cannot open shared object file", name);
    return strstr(why->text, text) != NULL;
}

ash_status ash_hip_load(ash_hip *out, ash_error *err)
{
    *out = (ash_hip){ 0 };
    const char *path = getenv("ASHLAR_HIP_LIBRARY");
    if (path && *path) {
        ash_status status = open_library(out, path, err);
        return status == ASH_OK ? ASH_OK : ash_fail_in(err, "ASHLAR_HIP_LIBRARY");
    }
    if (access("/dev/kfd", F_OK) != 0) /* cheaper than to load a library that will find nothing */
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "no AMD card: the amdgpu kernel driver is not loaded (there is no /dev/kfd)");
    bool found = false; /* one of no use: what is wrong with the first of them is what the user needs to know */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ash_error why;
        if (open_library(out, names[i], &why) == ASH_OK)
            return ASH_OK;
        if (!found && !is_absent(names[i], &why))
            found = true, *err = why;
    }
    return found ? ASH_E_UNSUPPORTED
                 : ash_fail(err, ASH_E_UNSUPPORTED,
                            "no libamdhip64.so is installed: install ROCm's HIP runtime, or name it in "
                            "ASHLAR_HIP_LIBRARY");
}

const char *ash_hip_version(const ash_hip *hip, char out[32])
{
    snprintf(out, 32, "%d.%d.%d", hip->version / 10000000, hip->version / 100000 % 100, hip->version % 100000);
    return out;
}

void ash_hip_unload(ash_hip *hip) { *hip = (ash_hip){ 0 }; }

ash_status ash_hip_check(const ash_hip *hip, int code, ash_error *err, const char *what)
{
    if (code == ASH_HIP_SUCCESS)
        return ASH_OK;
    const char *why = hip->GetErrorString(code);
    ash_status status = code == ASH_HIP_OUT_OF_MEMORY   ? ASH_E_MEMORY
                        : code == ASH_HIP_NOT_SUPPORTED ? ASH_E_UNSUPPORTED
                                                        : ASH_E_IO;
    return ash_fail(err, status, "%s: %s (hipError %d)", what, why ? why : "unknown", code);
}

/* ---- waiting ---- */

static atomic_bool hangs;

bool ash_hip_hangs(void) { return atomic_load(&hangs); }

ash_status ash_hip_hang(uint32_t timeout_ms, const char *what, ash_error *err)
{
    atomic_store(&hangs, true);
    return ash_fail(err, ASH_E_LIMIT,
                    "%s: no answer from the card for %.3g seconds: its driver may need a reset (dmesg says more)", what,
                    timeout_ms / 1000.0);
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Asks often at first: a decoded token takes some milliseconds, and a sleep's rounding would be a percent of it. */
ash_status ash_hip_wait(const ash_hip *hip, ash_hip_event *event, uint32_t timeout_ms, const char *what, ash_error *err)
{
    uint64_t start = now_us();
    for (;;) {
        int code = hip->EventQuery(event);
        uint64_t waited = now_us() - start;
        if (code != ASH_HIP_NOT_READY)
            return ash_hip_check(hip, code, err, what);
        if (waited > (uint64_t)timeout_ms * 1000)
            return ash_hip_hang(timeout_ms, what, err);
        struct timespec pause = { 0, waited < 2000 ? 5000 : 50000 };
        nanosleep(&pause, NULL);
    }
}
