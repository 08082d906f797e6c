/* Replays a fuzzer's seeds in the ordinary test run, with the compiler that builds everything else: replay FOLDER. Each
 * seed runs as it is, then with MUTATIONS changes that are the same every time: bytes replaced, runs cut out or repeated,
 * the end cut off. One TAP line a seed; a target that finds something aborts, which the runner counts as a failure.
 * Where there is no such folder the seed is 256 random bytes. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#define MUTATIONS 400
#define ROOM 65536 /* as much as the fuzzers try */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static size_t mutate(test_rng *rng, const uint8_t *seed, size_t size, uint8_t *out)
{
    memcpy(out, seed, size);
    for (uint64_t changes = 1 + test_rng_below(rng, 4); changes != 0 && size != 0; changes--) {
        size_t at = test_rng_below(rng, size), n = 1 + test_rng_below(rng, 16);
        n = n < size - at ? n : size - at;
        switch (test_rng_below(rng, 6)) {
        case 0: out[at] = (uint8_t)test_rng_next(rng); break;
        case 1: out[at] ^= (uint8_t)(1u << test_rng_below(rng, 8)); break;
        case 2: memset(out + at, test_rng_below(rng, 2) ? 0xff : 0, n); break;
        case 3: size = at; break;
        case 4: memmove(out + at, out + at + n, size - at - n), size -= n; break;
        default:
            if (size + n <= ROOM)
                memmove(out + at + n, out + at, size - at), size += n;
        }
    }
    return size;
}

static void replay(const uint8_t *seed, size_t size, const char *name)
{
    static int number;
    uint8_t *changed = malloc(ROOM);
    test_rng rng = test_rng_start(name);
    if (!changed || size > ROOM) {
        printf("not ok %d - %s\n# %zu bytes are too many\n", ++number, name, size);
        free(changed);
        return;
    }
    LLVMFuzzerTestOneInput(seed, size);
    for (int i = 0; i < MUTATIONS; i++) {
        size_t n = mutate(&rng, seed, size, changed);
        uint8_t *exact = malloc(n + !n); /* of its own size, so that a sanitizer sees a byte too many */
        if (!exact)
            abort();
        memcpy(exact, changed, n);
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    printf("ok %d - %s and %d changes\n", ++number, name, MUTATIONS);
    fflush(stdout);
    free(changed);
}

static int no_dots(const struct dirent *e) { return e->d_name[0] != '.'; }

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    struct dirent **entries = NULL;
    int count = scandir(argv[1], &entries, no_dots, alphasort);
    printf("1..%d\n", count > 0 ? count : 1);
    if (count <= 0) {
        uint8_t noise[256];
        test_rng rng = { 1 };
        test_rng_bytes(&rng, noise, sizeof noise);
        replay(noise, sizeof noise, "noise");
    }
    for (int i = 0; i < count; i++) {
        char path[4096];
        size_t size;
        snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
        uint8_t *seed = test_read_file(path, &size);
        replay(seed, size, entries[i]->d_name);
        free(seed);
        free(entries[i]);
    }
    free(entries);
    return 0;
}
