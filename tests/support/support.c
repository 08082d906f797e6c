#include "tests/support/support.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char own_tmp[64];

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_tmp(void) { nftw(own_tmp, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

const char *test_tmp(void)
{
    const char *given = getenv("TEST_TMP");
    if (given && *given)
        return given;
    if (!own_tmp[0]) {
        strcpy(own_tmp, "/tmp/ashlar-test-XXXXXX");
        if (!mkdtemp(own_tmp))
            fail_msg("mkdtemp: %s", strerror(errno));
        atexit(remove_tmp);
    }
    return own_tmp;
}

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        fail_msg("out of memory");
    return path;
}

char *test_path(const char *name)
{
    const char *tmp = test_tmp();
    char *path = join(tmp, name);
    for (char *slash = path + strlen(tmp) + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            fail_msg("%s: %s", path, strerror(errno));
    }
    return path;
}

char *test_shared(const char *name)
{
    const char *shared = getenv("SHARED");
    char *path = join(shared && *shared ? shared : "../shared", name);
    if (test_exists(path))
        return path;
    print_message("# skip %s is not here\n", name);
    free(path);
    return NULL;
}

bool test_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

int test_count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return -1;
    int n = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

uint8_t *test_read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0)
        fail_msg("%s: %s", path, strerror(errno));
    size_t n = (size_t)st.st_size;
    uint8_t *bytes = malloc(n + 1);
    if (!bytes || fread(bytes, 1, n, f) != n)
        fail_msg("%s: could not read %zu bytes", path, n);
    bytes[n] = 0;
    fclose(f);
    if (size)
        *size = n;
    return bytes;
}

void test_write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || (size && fwrite(bytes, 1, size, f) != size) || fclose(f) != 0)
        fail_msg("%s: %s", path, strerror(errno));
}

uint64_t test_seed(void)
{
    static bool known;
    static uint64_t seed = 1;
    if (!known) {
        const char *given = getenv("ASHLAR_TEST_SEED");
        if (given && *given)
            seed = strtoull(given, NULL, 0);
        print_message("# seed %llu\n", (unsigned long long)seed);
        known = true;
    }
    return seed;
}

test_rng test_rng_start(const char *name)
{
    /* FNV-1a of the name keeps the streams of different tests apart. */
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    test_rng rng = { h ^ test_seed() * UINT64_C(0x9e3779b97f4a7c15) };
    test_rng_next(&rng);
    return rng;
}

uint64_t test_rng_next(test_rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t test_rng_below(test_rng *rng, uint64_t bound) { return test_rng_next(rng) % bound; }

float test_rng_float(test_rng *rng)
{
    return (float)((int64_t)(test_rng_next(rng) >> 40) - (1 << 23)) / (float)(1 << 23);
}

void test_rng_bytes(test_rng *rng, void *out, size_t size)
{
    uint8_t *p = out;
    while (size) {
        uint64_t v = test_rng_next(rng);
        size_t n = size < sizeof v ? size : sizeof v;
        memcpy(p, &v, n);
        p += n;
        size -= n;
    }
}

bool test_mapping_has(const void *p, const char *flag)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    if (!f)
        return false;
    char line[512];
    bool here = false, found = false;
    while (fgets(line, sizeof line, f)) {
        unsigned long from, end;
        if (sscanf(line, "%lx-%lx ", &from, &end) == 2)
            here = from <= (uintptr_t)p && (uintptr_t)p < end;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    fclose(f);
    return found;
}

char *test_ashlar(const char *arguments, int *code)
{
    const char *ashlar = getenv("ASHLAR");
    static char out[65536];
    char line[8192];
    snprintf(line, sizeof line, "%s %s 2>&1", ashlar ? ashlar : "build/ashlar", arguments);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t n = fread(out, 1, sizeof out - 1, pipe);
    out[n] = 0;
    *code = pclose(pipe) / 256;
    return out;
}
