/* What a load to a card reads from the file and copies, and when: through a pread of this program's own, which stands before
 * the C library's for the loader too. It counts, and may hold reads back or answer them in other ways that a system may. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "convert/convert.h"
#include "runtime/hip/card_internal.h"
#include "runtime/session.h"
#include "tests/support/hip.h"
#include "tests/support/session.h"

#define PATIENCE_MS 20000 /* before a read that is held back gives up, and the test fails */
#define LATER_MS 500      /* more than a pass takes: one that does not wait for its weights ends before they come */
static_assert(ASH_LOAD_READERS > 1, "several reads are in flight");
#define MARGIN 4096       /* of a read to both sides: direct ones are of whole pages */

/* ---- reads ---- */

typedef enum manner {
    PLAIN,
    TOGETHER,     /* the first ones wait until as many are under way as there are readers */
    LAST_WAITS,   /* the one that reaches the end of DATA waits until the card has run a layer */
    IN_PARTS,     /* interrupted once, then an odd number of bytes */
    FAILS,        /* the second one */
    ENDS,         /* the second one finds the file's end */
} manner;

static struct {
    atomic_bool on;
    manner manner;
    uint64_t end; /* of DATA in the file */
    uint32_t layer_launches; /* of a pass, up to the end of its first layer and into the second */
    ashlar_session *_Atomic session;
    atomic_uint calls, under_way, most;
    atomic_ullong bytes;
    atomic_bool gave_up;
} reads;

static void pause_ms(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL); }

static bool all_under_way(void) { return atomic_load(&reads.most) >= ASH_LOAD_READERS; }

/* Event 1 comes behind launch 6: the embedding and a layer's five. */
static bool layer_has_run(void)
{
    ashlar_session *s = atomic_load(&reads.session);
    return s && hip_counts().launches >= reads.layer_launches && hip.EventQuery((standin_event *)s->card->event[1]) == 0;
}

static void hold_until(bool (*met)(void))
{
    for (int ms = 0; !met(); ms += 2) {
        if (ms >= PATIENCE_MS) {
            atomic_store(&reads.gave_up, true);
            return;
        }
        pause_ms(2);
    }
}

static ssize_t plain_read(int fd, void *to, size_t count, off_t at)
{
    ssize_t n = syscall(SYS_pread64, fd, to, count, at);
    if (n > 0 && atomic_load(&reads.on))
        atomic_fetch_add(&reads.bytes, (unsigned long long)n);
    return n;
}

static ssize_t answer(int fd, void *to, size_t count, off_t at, unsigned call)
{
    switch (reads.manner) {
    case TOGETHER: hold_until(all_under_way); break;
    case LAST_WAITS:
        if ((uint64_t)at + count >= reads.end)
            hold_until(layer_has_run), pause_ms(LATER_MS);
        break;
    case IN_PARTS:
        if (call % 3 == 0)
            return errno = EINTR, -1;
        if (count > 100000 && call % 3 == 1) { /* told of less than came: a direct read cannot go on from there */
            ssize_t n = plain_read(fd, to, 2 * 65536, at);
            return n > 65536 + 100 ? 65536 + 100 : n;
        }
        break;
    case FAILS:
        if (call == 1)
            return errno = EIO, -1;
        break;
    case ENDS:
        if (call == 1)
            return 0;
        break;
    default: break;
    }
    return plain_read(fd, to, count, at);
}

ssize_t pread(int fd, void *to, size_t count, off_t at)
{
    if (!atomic_load(&reads.on))
        return plain_read(fd, to, count, at);
    unsigned now = atomic_fetch_add(&reads.under_way, 1) + 1, most = atomic_load(&reads.most);
    while (now > most && !atomic_compare_exchange_weak(&reads.most, &most, now))
        ;
    ssize_t n = answer(fd, to, count, at, atomic_fetch_add(&reads.calls, 1));
    int error = errno;
    atomic_fetch_sub(&reads.under_way, 1);
    errno = error;
    return n;
}

/* ---- a load ---- */

static ashlar_model *model;

static int open_model(void **state)
{
    (void)state;
    char *source = test_shared("models/llama-30m");
    if (source) /* 60 MB: four pieces */
        model = test_load(source, "bf16.ashlar", ASH_TYPE_KEEP);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    ashlar_model_free(model);
    return 0;
}

static void begin(manner m)
{
    if (!model)
        test_skip("the shared models are absent");
    hip_standin();
    hip_reset();
    const ash_section_record *data = ash_file_section(model->file, ASH_SECTION_DATA);
    reads.manner = m;
    reads.end = data->offset + data->size;
    reads.layer_launches = 7;
    atomic_store(&reads.session, NULL);
    atomic_store(&reads.calls, 0);
    atomic_store(&reads.most, 0);
    atomic_store(&reads.bytes, 0);
    atomic_store(&reads.gave_up, false);
    atomic_store(&reads.on, true);
}

/* Every byte of the weights lies on the card as in the file. */
static void check_weights(const ash_card *card)
{
    uint32_t count;
    const ash_hip_plan_extent *e = ash_hip_plan_extents(card->plan, &count);
    const uint8_t *data = ash_file_section_bytes(model->file, ASH_SECTION_DATA, &(size_t){ 0 });
    standin_stream *stream = standin_new_stream();
    standin_event *end = standin_new_event();
    for (uint32_t i = 0; i < count; i++) {
        void *back = standin_new_pinned(e[i].bytes);
        const void *from = (const void *)(uintptr_t)(card->at.weights + e[i].to);
        OK(hip.MemcpyAsync(back, from, e[i].bytes, STANDIN_TO_HOST, stream));
        OK(hip.EventRecord(end, stream));
        OK(standin_wait_event(end));
        assert_int_equal(memcmp(back, data + e[i].from, e[i].bytes), 0);
        OK(hip.HostFree(back));
    }
    OK(hip.EventDestroy(end));
    OK(hip.StreamDestroy(stream));
}

/* A pass of one token, which waits for all weights; what the card says. */
static int load(const ashlar_session_options *o, float **logits, ashlar_error *err)
{
    static const int32_t id = 1;
    ashlar_session *session;
    int status = ashlar_session_new(model, o, &session, err);
    if (status == ASHLAR_OK) {
        atomic_store(&reads.session, session);
        status = ashlar_session_feed(session, &id, 1, 0, err);
    }
    atomic_store(&reads.on, false);
    if (status == ASHLAR_OK)
        check_weights(session->card);
    if (status == ASHLAR_OK && logits) {
        *logits = malloc(model->meta.h.vocab * sizeof **logits);
        assert_non_null(*logits);
        memcpy(*logits, ashlar_session_logits(session, 0), model->meta.h.vocab * sizeof **logits);
    }
    ashlar_session_free(session);
    return status;
}

typedef struct sizes {
    uint64_t weights, constants; /* bytes */
    uint32_t extents;
} sizes;

static sizes sizes_of(uint32_t context, uint32_t first_layer)
{
    ash_hip_plan *plan;
    ash_error err;
    uint32_t count;
    ash_hip_plan_options o = { .context = context, .batch = context, .first_layer = first_layer };
    assert_ok(ash_hip_plan_new(model, &o, &plan, &err), &err);
    const ash_hip_plan_extent *e = ash_hip_plan_extents(plan, &count);
    sizes s = { .constants = ash_hip_plan_sizes(plan).constants };
    s.extents = count;
    for (uint32_t i = 0; i < count; i++)
        s.weights += e[i].bytes;
    ash_hip_plan_free(plan);
    return s;
}

/* ---- tests ---- */

static struct { uint64_t done, total; unsigned calls; } progress; /* the loader's lock orders its calls */

static void told(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    progress.calls += done > progress.done;
    progress.done = done;
    progress.total = total;
}

static void check_counts(int verify, uint32_t card_layers)
{
    ashlar_error err;
    ashlar_session_options o = { .context = 64, .device = "hip", .verify = verify, .card_layers = card_layers, .threads = 1,
                                 .load_progress = told };
    memset(&progress, 0, sizeof progress);
    begin(PLAIN);
    if (load(&o, NULL, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    uint32_t first = card_layers ? model->meta.h.layers - card_layers : 0;
    sizes s = sizes_of(o.context, first);
    uint64_t read = atomic_load(&reads.bytes), data = ash_file_section(model->file, ASH_SECTION_DATA)->size;
    uint64_t copied = hip_counts().copied_bytes[STANDIN_TO_DEVICE];
    print_message("# measure load%s of %llu bytes in %u places: %llu read, %llu copied with constants and ids (DATA: %llu)\n",
                  verify ? " with checksums" : "", (unsigned long long)s.weights, s.extents,
                  (unsigned long long)read, (unsigned long long)copied, (unsigned long long)data);
    /* Without checksums what lies between the places within one piece's range comes along: norms, or, where the CPU has some
     * of the layers, what is theirs. */
    uint64_t most = verify || !first ? data : s.weights + ASH_LOAD_PIECE;
    assert_true(read >= s.weights);
    assert_true(read <= most + (data / ASH_LOAD_PIECE + 1) * 2 * MARGIN);
    uint64_t rows = first ? (uint64_t)ash_pad_cols(model->meta.h.hidden) * sizeof(float) : 0; /* of the CPU's layers */
    assert_int_equal(copied, s.weights + s.constants + sizeof(ash_gfx_step) + sizeof(int32_t) + rows);
    assert_true(progress.done == s.weights && progress.total == s.weights && progress.calls > 1);
    hip_assert_clean();
    hip_assert_freed();
}

/* Each byte of the weights is read once and copied once; checksums read all of DATA once. */
static void test_counts(void **state)
{
    (void)state;
    check_counts(0, 0);
    check_counts(1, 0);
    check_counts(0, 3);
}

static void test_reads_under_way(void **state)
{
    (void)state;
    ashlar_error err;
    ashlar_session_options o = { .context = 64, .device = "hip" };
    begin(TOGETHER);
    if (load(&o, NULL, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    assert_false(atomic_load(&reads.gave_up));
    assert_int_equal(atomic_load(&reads.most), ASH_LOAD_READERS);
    hip_assert_freed();
}

/* The last piece is not read before the first layer has run. */
static void test_layer_before_the_last(void **state)
{
    (void)state;
    ashlar_error err;
    float *early = NULL, *plain = NULL;
    ashlar_session_options o = { .context = 64, .device = "hip" };
    begin(LAST_WAITS);
    if (load(&o, &early, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    assert_false(atomic_load(&reads.gave_up));
    hip_assert_clean();
    begin(PLAIN);
    assert_int_equal(load(&o, &plain, &err), ASHLAR_OK);
    assert_memory_equal(early, plain, model->meta.h.vocab * sizeof *plain);
    free(early), free(plain);
}

/* Interrupted, cut short at odd places: the same bytes arrive. */
static void test_parts(void **state)
{
    (void)state;
    ashlar_error err;
    float *parts = NULL, *plain = NULL;
    ashlar_session_options o = { .context = 64, .device = "hip" };
    begin(IN_PARTS);
    o.verify = 1;
    if (load(&o, &parts, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    begin(PLAIN);
    assert_int_equal(load(&o, &plain, &err), ASHLAR_OK);
    assert_memory_equal(parts, plain, model->meta.h.vocab * sizeof *plain);
    hip_assert_freed();
    free(parts), free(plain);
}

static void test_failing_reads(void **state)
{
    (void)state;
    static const struct { manner m; const char *says; } ways[] = { { FAILS, "Input/output error" },
                                                                  { ENDS, "it was changed while it was read" } };
    for (size_t i = 0; i < 2; i++) {
        ashlar_error err = { 0 };
        ashlar_session_options o = { .context = 64, .device = "hip" };
        begin(ways[i].m);
        assert_int_not_equal(load(&o, NULL, &err), ASHLAR_OK);
        if (!strstr(err.text, ways[i].says) || !strstr(err.text, "bf16.ashlar") || strchr(err.text, '\n'))
            fail_msg("%s", err.text);
        hip_assert_freed();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts), cmocka_unit_test(test_reads_under_way), cmocka_unit_test(test_layer_before_the_last),
        cmocka_unit_test(test_parts),  cmocka_unit_test(test_failing_reads),
    };
    return cmocka_run_group_tests_name("hip_load", tests, open_model, close_model);
}
