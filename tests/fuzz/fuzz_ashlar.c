/* Opens and verifies hostile .ashlar files, behind correct checksums.
 *
 * The first byte of the input is flags; the rest is, with EDITS, a list of changes to a good file that is built here
 * (u16 place, u8 count, count bytes: the place counts in bytes from a region's begin, its upper bits choose the
 * region), and otherwise the file itself. META and GGKV are read too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/meta.h"
#include "format/reader.h"
#include "format/tile.h"
#include "format/writer.h"
#include "tests/support/container.h"

enum { EDITS = 1, REHASH = 2, REHASH_TENSORS = 4, DRESS = 8, CUT = 16 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *good;
static size_t good_size;
static int fd = -1;
static char path[64];

#define MUST(expr)                                                                                                     \
    do {                                                                                                               \
        if (!(expr))                                                                                                   \
            abort();                                                                                                   \
    } while (0)

static void add(ash_writer *w, const char *name, ash_tensor_record t, uint32_t scale)
{
    ash_error err;
    MUST(ash_writer_add_tensor(w, name, &t, NULL, &err) == ASH_OK);
    ash_member_record m = { .role = t.role,
                            .source_dtype = t.dtype,
                            .source_dim_count = t.dim_count,
                            .row_count = t.dims[1],
                            .panel_step = 1,
                            .scale_weight = scale,
                            .scale_input = ASH_NO_INDEX };
    memcpy(m.source_dims, t.dims, sizeof m.source_dims);
    if (t.role != ASH_ROLE_GATE_UP) {
        MUST(ash_writer_add_member(w, name, &m, &err) == ASH_OK);
        return;
    }
    m.panel_step = 2;
    m.row_count = m.source_dims[1] = t.dims[1] / 2;
    for (uint32_t i = 0; i < 2; i++) {
        m.role = i == 0 ? ASH_ROLE_GATE : ASH_ROLE_UP;
        m.row_first = 16 * i;
        MUST(ash_writer_add_member(w, i == 0 ? "gate" : "up", &m, &err) == ASH_OK);
    }
}

/* A vector, a matrix with padding, a fused one with scales, experts; META. All weights are zero. */
static void build(void)
{
    static const char meta[] =
        "{\"architecture\":\"llama\",\"hparams\":{\"layers\":1,\"hidden\":40,\"heads\":2,\"kv_heads\":1,\"head_dim\":"
        "20,\"ffn\":32,"
        "\"vocab\":24,\"context\":64,\"sliding_window\":0,\"rope_dim\":20,\"norm_eps\":1e-05,\"rope_theta\":10000,"
        "\"rope_scaling\":\"none\",\"tied_output\":true,\"qkv_bias\":false,\"qk_norm\":false},"
        "\"tokens\":{\"add_bos\":false,\"stop\":[1,2]},\"features\":{\"0\":\"x\"}}";
    ash_writer *w;
    ash_error err;
    MUST(ash_writer_create(path, true, &w, &err) == ASH_OK);
    add(w, "norm", (ash_tensor_record){ .role = ASH_ROLE_ATTN_NORM, .dim_count = 1, .dims = { 40, 1, 1, 1 } },
        ASH_NO_INDEX);
    add(w, "embed",
        (ash_tensor_record){ .role = ASH_ROLE_EMBED,
                             .layer = ASH_NO_LAYER,
                             .dtype = ASH_Q5_K,
                             .layout = ASH_LAYOUT_Q5_K,
                             .dim_count = 2,
                             .dims = { 320, 24, 1, 1 } },
        ASH_NO_INDEX);
    add(w, "fused",
        (ash_tensor_record){ .role = ASH_ROLE_GATE_UP,
                             .dtype = ASH_F8_E4M3,
                             .layout = ASH_LAYOUT_B8_32,
                             .dim_count = 2,
                             .dims = { 40, 32, 1, 1 } },
        3);
    add(w, "scale",
        (ash_tensor_record){ .role = ASH_ROLE_SCALE,
                             .dtype = ASH_BF16,
                             .dim_count = 1,
                             .dims = { 1, 1, 1, 1 },
                             .scale_kind = ASH_SCALE_TENSOR },
        ASH_NO_INDEX);
    add(w, "experts",
        (ash_tensor_record){ .role = ASH_ROLE_DOWN,
                             .dtype = ASH_F16,
                             .layout = ASH_LAYOUT_H16_16,
                             .dim_count = 3,
                             .dims = { 20, 17, 2, 1 } },
        ASH_NO_INDEX);
    MUST(ash_writer_layout(w, NULL, &err) == ASH_OK);
    for (uint32_t i = 0; i < 5; i++) {
        const ash_tensor_record *t = ash_writer_tensor(w, i);
        uint64_t panels = (t->dims[1] + 15) / 16, slice = t->panel_bytes ? panels * t->panel_bytes : t->size;
        uint8_t *zeros = calloc(1, (size_t)(slice * t->dims[2]));
        MUST(zeros && ash_writer_put(w, i, zeros, (size_t)(slice * t->dims[2]), &err) == ASH_OK);
        free(zeros);
    }
    MUST(ash_writer_add_section(w, ASH_SECTION_META, meta, sizeof meta - 1, true, &err) == ASH_OK);
    MUST(ash_writer_finish(w, NULL, &err) == ASH_OK);
    FILE *f = fopen(path, "rb");
    MUST(f);
    good = malloc(1 << 20);
    good_size = fread(good, 1, 1 << 20, f);
    fclose(f);
    unlink(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    snprintf(path, sizeof path, "/tmp/fuzz-ashlar-%d", (int)getpid());
    build();
    fd = memfd_create("fuzz", 0);
    MUST(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return 0;
}

/* Directory and section table are where decisions are made: 14 of 16 places lie there. */
static size_t place(unsigned at)
{
    const ash_header *h = (const ash_header *)good;
    size_t region = at >> 12, offset = at & 4095;
    if (region < 3)
        return offset; /* header */
    if (region < 14)
        return ASH_HEADER_BYTES + offset; /* TENS, MEMB, STRS */
    return (size_t)(region == 14 ? h->sections[3].offset + offset : good_size - 1 - offset);
}

static uint8_t *edited(const uint8_t *p, size_t left)
{
    uint8_t *file = malloc(good_size);
    MUST(file);
    memcpy(file, good, good_size);
    while (left >= 3) {
        size_t at = place((unsigned)(p[0] | p[1] << 8)), n = p[2];
        p += 3;
        left -= 3;
        for (; n > 0 && left > 0 && at < good_size; n--, left--)
            file[at++] = *p++;
    }
    return file;
}

static void use(const ash_file *f)
{
    ash_error err;
    uint8_t *bytes;
    size_t size, names = 0;
    for (uint32_t i = 0; i < ash_file_tensor_count(f); i++) {
        const ash_tensor_record *t = ash_file_tensor(f, i);
        names += strlen(ash_file_tensor_name(f, t));
        for (uint32_t m = 0; m < t->member_count; m++)
            names += strlen(ash_file_member_name(f, ash_file_member(f, t->member_first + m)));
        /* First and last byte lie inside the mapping. */
        names += ash_file_data(f, t)[0] + ash_file_data(f, t)[t->size - 1];
    }
    MUST(names < (size_t)1 << 40);
    if (ash_file_section_read(f, ASH_SECTION_META, &bytes, &size, &err) == ASH_OK) {
        ash_meta meta;
        if (ash_meta_read((const char *)bytes, size, &meta, &err) == ASH_OK)
            ash_meta_free(&meta);
        free(bytes);
    }
    ash_file_verify(f, NULL, NULL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t flags = data[0], *bytes;
    size_t bytes_size = flags & EDITS ? good_size : size - 1;
    if (flags & EDITS) {
        bytes = edited(data + 1, size - 1);
    } else {
        bytes = malloc(bytes_size + 1);
        MUST(bytes);
        memcpy(bytes, data + 1, bytes_size);
    }
    if (flags & CUT)
        bytes_size = bytes_size * (data[size - 1] + (size_t)1) / 256;
    if (flags & DRESS)
        test_container_dress(bytes, bytes_size);
    if (flags & REHASH)
        test_container_rehash(bytes, bytes_size, (flags & REHASH_TENSORS) != 0);
    MUST(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, bytes_size, 0) == (ssize_t)bytes_size);
    free(bytes);
    ash_file *f;
    ash_error err;
    if (ash_file_open(path, &f, &err) == ASH_OK) {
        use(f);
        ash_file_close(f);
    }
    return 0;
}
