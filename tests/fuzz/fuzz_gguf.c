/* GGUF: any bytes as a file, and as kept key-values. What opens must be usable to the last byte, and what is kept of it
 * must parse again to the same bytes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/gguf.h"

#define CHECK(condition) \
    do {                 \
        if (!(condition)) \
            abort();     \
    } while (0)

static volatile uint8_t sink;

static void touch(const void *p, uint64_t size)
{
    const uint8_t *bytes = p;
    if (size) {
        sink = bytes[0];
        sink = bytes[size - 1];
    }
}

static void walk_pairs(const ash_gguf *g)
{
    for (uint64_t i = 0; i < ash_gguf_kv_count(g); i++) {
        const ash_gguf_kv *kv = ash_gguf_kv_at(g, i);
        touch(kv->key.text, kv->key.size);
        touch(kv->value, kv->value_size);
        touch(kv->record, kv->record_size);
        char key[256];
        if (kv->key.size < sizeof key) {
            memcpy(key, kv->key.text, kv->key.size);
            key[kv->key.size] = 0;
            CHECK(ash_gguf_find(g, key) == kv);
            uint64_t integer;
            double number;
            bool flag;
            ash_gguf_string text;
            (void)ash_gguf_get_u64(g, key, &integer);
            (void)ash_gguf_get_f64(g, key, &number);
            (void)ash_gguf_get_bool(g, key, &flag);
            if (ash_gguf_get_string(g, key, &text))
                touch(text.text, text.size);
        }
        uint64_t at = 0, count = 0;
        ash_gguf_string text;
        while (ash_gguf_next_string(kv, &at, &text)) {
            touch(text.text, text.size);
            count++;
        }
        CHECK(kv->element != ASH_GGUF_STRING || count == kv->count);
    }
}

static void check_error(const ash_error *err)
{
    CHECK(err->status != ASH_OK && err->text[0] && memchr(err->text, 0, sizeof err->text) && !strchr(err->text, '\n'));
}

static void walk_file(const ash_gguf *g)
{
    ash_error err;
    walk_pairs(g);
    for (uint32_t i = 0; i < ash_gguf_tensor_count(g); i++) {
        const ash_gguf_tensor *t = ash_gguf_tensor_at(g, i);
        uint8_t byte;
        CHECK(t->size > 0 && t->name[0]);
        CHECK(ash_gguf_read(g, t, 0, &byte, 1, &err) == ASH_OK);
        CHECK(ash_gguf_read(g, t, t->size - 1, &byte, 1, &err) == ASH_OK);
        CHECK(ash_gguf_read(g, t, t->size, &byte, 1, &err) == ASH_E_ARGUMENT);
    }
    uint8_t *kept, *again;
    size_t kept_size, again_size;
    ash_gguf *k;
    CHECK(ash_gguf_kv_bytes(g, &kept, &kept_size, &err) == ASH_OK);
    CHECK(ash_gguf_open_kv(kept, kept_size, &k, &err) == ASH_OK);
    CHECK(ash_gguf_kv_bytes(k, &again, &again_size, &err) == ASH_OK);
    CHECK(kept_size == again_size && memcmp(kept, again, kept_size) == 0);
    ash_gguf_close(k);
    free(kept);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ash_error err;
    ash_gguf *g;
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (ash_gguf_open(path, &g, &err) == ASH_OK) {
        walk_file(g);
        ash_gguf_close(g);
    } else {
        CHECK(g == NULL);
        check_error(&err);
    }
    close(fd);

    if (ash_gguf_open_kv(data, size, &g, &err) == ASH_OK) {
        walk_pairs(g);
        ash_gguf_close(g);
    } else {
        CHECK(g == NULL);
        check_error(&err);
    }
    return 0;
}
