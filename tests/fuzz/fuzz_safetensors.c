/* Safetensors: any bytes as a file, and as the index of a model with two good shards. What opens covers its data
 * exactly and can be read to the last byte. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/safetensors.h"

#define CHECK(condition) \
    do {                 \
        if (!(condition)) \
            abort();     \
    } while (0)

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
}

static void write_shard(const char *path, const char *tensor)
{
    char header[128];
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", tensor);
    uint8_t bytes[256] = { 0 };
    uint64_t length = strlen(header);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    write_file(path, bytes, 8 + length + 4);
}

static char folder[] = "/tmp/ashlar-fuzz-XXXXXX";

static void remove_folder(void)
{
    static const char *const names[] = { "a.safetensors", "b.safetensors", "model.safetensors.index.json" };
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
    rmdir(folder);
}

/* A folder with a.safetensors and b.safetensors, which hold tensor "a" and tensor "b"; made once a process. */
static const char *index_path(void)
{
    static char path[128];
    if (!path[0]) {
        char shard[128];
        CHECK(mkdtemp(folder) && atexit(remove_folder) == 0);
        snprintf(shard, sizeof shard, "%s/a.safetensors", folder);
        write_shard(shard, "a");
        snprintf(shard, sizeof shard, "%s/b.safetensors", folder);
        write_shard(shard, "b");
        snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    }
    return path;
}

static void check_error(const ash_error *err)
{
    CHECK(err->status != ASH_OK && err->text[0] && memchr(err->text, 0, sizeof err->text) && !strchr(err->text, '\n'));
}

static void walk(const ash_safetensors *st)
{
    ash_error err;
    uint64_t end = 0;
    for (uint32_t i = 0; i < ash_safetensors_count(st); i++) {
        const ash_st_tensor *t = ash_safetensors_tensor(st, i);
        uint8_t byte;
        CHECK(ash_safetensors_find(st, t->name) == t && t->dim_count <= 8);
        CHECK(ash_safetensors_read(st, t, t->size, &byte, 1, &err) == ASH_E_ARGUMENT);
        if (t->size) {
            CHECK(ash_safetensors_read(st, t, 0, &byte, 1, &err) == ASH_OK);
            CHECK(ash_safetensors_read(st, t, t->size - 1, &byte, 1, &err) == ASH_OK);
        }
        if (i > 0 && ash_safetensors_tensor(st, i - 1)->file == t->file)
            CHECK(t->offset == end);
        end = t->offset + t->size;
        if (i + 1 == ash_safetensors_count(st) || ash_safetensors_tensor(st, i + 1)->file != t->file)
            CHECK(end == ash_safetensors_file(st, t->file)->size);
    }
}

static void try_open(const char *path)
{
    ash_error err;
    ash_safetensors *st;
    if (ash_safetensors_open(path, &st, &err) == ASH_OK) {
        walk(st);
        ash_safetensors_close(st);
    } else {
        CHECK(st == NULL);
        check_error(&err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    try_open(path);
    close(fd);
    if (size && data[0] == '{') {
        write_file(index_path(), data, size);
        try_open(index_path());
    }
    return 0;
}
