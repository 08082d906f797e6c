/* Files: reads are exact and bounded, an output appears complete or not at all, and hashes are XXH3-128. */
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/checked.h"
#include "format/cursor.h"
#include "format/fileio.h"
#include "format/hash.h"

static void assert_mentions(const ash_error *err, const char *word)
{
    if (!strstr(err->text, word))
        fail_msg("the message is \"%s\", without \"%s\"", err->text, word);
    assert_null(strchr(err->text, '\n'));
}

/* A fresh folder for one test. */
static char *folder(const char *name)
{
    char keep[128];
    snprintf(keep, sizeof keep, "%s/keep", name);
    char *file = test_path(keep);
    free(file);
    return test_path(name);
}

static char *in(const char *dir, const char *name)
{
    char *path = ash_path_join(dir, name);
    assert_non_null(path);
    return path;
}

static void check_file(const char *path, const void *bytes, size_t size)
{
    size_t got;
    uint8_t *text = test_read_file(path, &got);
    assert_int_equal(got, size);
    assert_memory_equal(text, bytes, size);
    free(text);
}

/* ---- reading ---- */
static void reads_are_exact(void **state)
{
    (void)state;
    ash_error err;
    ash_input input;
    char *path = test_path("ten");
    test_write_file(path, "0123456789", 10);
    assert_ok(ash_input_open(path, &input, &err), &err);
    assert_int_equal(input.size, 10);
    char buffer[16] = { 0 };
    assert_ok(ash_input_read(&input, 3, buffer, 4, &err), &err);
    assert_string_equal(buffer, "3456");
    assert_ok(ash_input_read(&input, 10, buffer, 0, &err), &err);
    ash_input_will_need(&input, 0, 10);
    ash_input_done_with(&input, 0, 10);
    ash_input_will_need(&input, UINT64_MAX, 2); /* out of range: ignored */

    assert_int_equal(ash_input_read(&input, 8, buffer, 3, &err), ASH_E_FORMAT);
    assert_mentions(&err, "ten: ends at byte 10");
    assert_int_equal(ash_input_read(&input, UINT64_MAX, buffer, 2, &err), ASH_E_FORMAT);
    assert_int_equal(ash_input_read(&input, UINT64_C(1) << 63, buffer, 1, &err), ASH_E_FORMAT);

    assert_int_equal(truncate(path, 5), 0); /* cut after it was opened */
    assert_int_equal(ash_input_read(&input, 3, buffer, 4, &err), ASH_E_FORMAT);
    assert_mentions(&err, "ends at byte 5");
    ash_input_close(&input);
    ash_input_close(&input); /* twice is fine */
    free(path);
}

static void only_regular_files_are_opened(void **state)
{
    (void)state;
    ash_error err;
    ash_input input;
    ash_mapping map;
    char *text, *dir = folder("kinds"), *fifo = in(dir, "fifo"), *absent = in(dir, "absent");
    size_t size;
    assert_int_equal(mkfifo(fifo, 0600), 0);
    alarm(20); /* a FIFO without a writer must be refused, not waited for */
    assert_int_equal(ash_input_open(fifo, &input, &err), ASH_E_ARGUMENT);
    assert_mentions(&err, "fifo: is a pipe or device");
    assert_int_equal(ash_map_file(fifo, &map, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_read_whole(fifo, 100, &text, &size, &err), ASH_E_ARGUMENT);
    alarm(0);
    assert_int_equal(ash_input_open("/dev/null", &input, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_input_open(dir, &input, &err), ASH_E_ARGUMENT);
    assert_mentions(&err, "kinds: is a folder");
    assert_int_equal(ash_input_open(absent, &input, &err), ASH_E_IO);
    assert_mentions(&err, "absent: cannot open: No such file");
    assert_null(input.path);
    ash_input_close(&input); /* after a failed open as well */
    free(dir), free(fifo), free(absent);
}

static void maps_and_whole_files(void **state)
{
    (void)state;
    ash_error err;
    ash_mapping map;
    char *path = test_path("whole"), *text;
    size_t size;
    test_write_file(path, "abc", 3);
    assert_ok(ash_map_file(path, &map, &err), &err);
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.bytes, "abc", 3);
    ash_unmap_file(&map);
    assert_null(map.bytes);
    ash_unmap_file(&map);
    assert_ok(ash_read_whole(path, 3, &text, &size, &err), &err);
    assert_int_equal(size, 3);
    assert_string_equal(text, "abc");
    free(text);
    assert_int_equal(ash_read_whole(path, 2, &text, &size, &err), ASH_E_LIMIT);
    assert_null(text);
    assert_mentions(&err, "has 3 bytes; at most 2");
    test_write_file(path, "", 0);
    assert_ok(ash_map_file(path, &map, &err), &err);
    assert_null(map.bytes);
    assert_int_equal(map.size, 0);
    ash_unmap_file(&map);
    assert_ok(ash_read_whole(path, 0, &text, &size, &err), &err);
    assert_string_equal(text, "");
    free(text);
    free(path);
}

static void paths(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "", "b", "b" }, { "/", "b", "/b" }
    };
    for (size_t i = 0; i < 4; i++) {
        char *path = in(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        free(path);
    }
    assert_true(ash_path_exists("/"));
    assert_false(ash_path_exists("/no such name"));
}

/* ---- writing ---- */
static void outputs_hold_what_was_appended(void **state)
{
    (void)state;
    ash_error err;
    ash_output *o;
    test_rng rng = test_rng_start("output");
    char *dir = folder("append"), *path = in(dir, "out.bin");
    size_t total = (size_t)9 << 20, at = 0;
    uint8_t *expect = malloc(total + 4096);
    assert_non_null(expect);
    memset(expect, 0, total + 4096);
    assert_ok(ash_output_create(path, false, &o, &err), &err);
    assert_false(test_exists(path)); /* nothing under its name yet */
    assert_int_equal(test_count_entries(dir), 1);
    /* Pieces around and above the size of the buffer, with padding between some of them. */
    while (at < total) {
        size_t n = test_rng_below(&rng, 8) == 0 ? test_rng_below(&rng, 5 << 20) : test_rng_below(&rng, 300000);
        if (n > total - at)
            n = total - at;
        test_rng_bytes(&rng, expect + at, n);
        assert_ok(ash_output_append(o, expect + at, n, &err), &err);
        at += n;
        if (at < total - 4096 && test_rng_below(&rng, 4) == 0) {
            assert_ok(ash_output_pad(o, 4096, &err), &err);
            at = (at + 4095) / 4096 * 4096;
        }
        assert_int_equal(ash_output_position(o), at);
    }
    /* Rewriting: in what has been written, across into what is still buffered, and at the very end. */
    size_t spots[][2] = { { 0, 4096 }, { 12345, 1 }, { at - 100000, 100000 }, { at - 1, 1 }, { at, 0 } };
    for (size_t i = 0; i < 5; i++) {
        test_rng_bytes(&rng, expect + spots[i][0], spots[i][1]);
        assert_ok(ash_output_rewrite(o, spots[i][0], expect + spots[i][0], spots[i][1], &err), &err);
        assert_ok(ash_output_append(o, "tail", 4, &err), &err);
        memcpy(expect + at, "tail", 4);
        at += 4;
    }
    assert_int_equal(ash_output_rewrite(o, at - 1, "xx", 2, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_output_rewrite(o, UINT64_MAX, "xx", 2, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_output_pad(o, 0, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_output_append(o, expect, SIZE_MAX, &err), ASH_E_LIMIT);
    assert_ok(ash_output_commit(o, &err), &err);
    check_file(path, expect, at);
    assert_int_equal(test_count_entries(dir), 1);
    free(expect), free(dir), free(path);
}

static void outputs_honour_the_umask(void **state)
{
    (void)state;
    ash_error err;
    ash_output *o;
    char *dir = folder("umask"), *path = in(dir, "out");
    static const unsigned masks[][2] = { { 022, 0644 }, { 077, 0600 }, { 002, 0664 } };
    for (int i = 0; i < 3; i++) {
        mode_t before = umask(masks[i][0]);
        assert_ok(ash_output_create(path, true, &o, &err), &err);
        assert_ok(ash_output_commit(o, &err), &err);
        umask(before);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, masks[i][1]);
    }
    free(dir), free(path);
}

static void existing_files_survive(void **state)
{
    (void)state;
    ash_error err;
    ash_output *o;
    char *dir = folder("existing"), *path = in(dir, "out");
    test_write_file(path, "old", 3);
    assert_int_equal(ash_output_create(path, false, &o, &err), ASH_E_ARGUMENT);
    assert_null(o);
    assert_mentions(&err, "out: already exists; use --force");
    assert_int_equal(test_count_entries(dir), 1);

    /* Abort and a failed commit leave it as it was, and no temporary file. */
    assert_ok(ash_output_create(path, true, &o, &err), &err);
    assert_ok(ash_output_append(o, "new", 3, &err), &err);
    ash_output_abort(o);
    ash_output_abort(NULL);
    check_file(path, "old", 3);
    assert_int_equal(test_count_entries(dir), 1);

    assert_ok(ash_output_create(path, true, &o, &err), &err);
    assert_ok(ash_output_append(o, "new", 3, &err), &err);
    assert_ok(ash_output_commit(o, &err), &err);
    check_file(path, "new", 3);

    /* A file that appears while we write. */
    assert_int_equal(unlink(path), 0);
    assert_ok(ash_output_create(path, false, &o, &err), &err);
    assert_ok(ash_output_append(o, "mine", 4, &err), &err);
    test_write_file(path, "theirs", 6);
    assert_int_equal(ash_output_commit(o, &err), ASH_E_IO);
    assert_mentions(&err, "--force");
    check_file(path, "theirs", 6);
    assert_int_equal(test_count_entries(dir), 1);

    /* A dangling link is a name that is taken, too. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("nowhere", path), 0);
    assert_int_equal(ash_output_create(path, false, &o, &err), ASH_E_ARGUMENT);
    free(dir), free(path);
}

static void impossible_targets(void **state)
{
    (void)state;
    ash_error err;
    ash_output *o;
    char *dir = folder("targets"), *slash = in(dir, ""), *deep = in(dir, "no/such/out"), *fifo = in(dir, "fifo");
    assert_int_equal(ash_output_create(dir, true, &o, &err), ASH_E_ARGUMENT);
    assert_mentions(&err, "is a folder");
    assert_int_equal(ash_output_create(slash, true, &o, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_output_create("", true, &o, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_output_create(deep, true, &o, &err), ASH_E_IO);
    assert_mentions(&err, "no/such/out");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(ash_output_create(fifo, true, &o, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_output_create("/dev/null", true, &o, &err), ASH_E_ARGUMENT);
    assert_int_equal(test_count_entries(dir), 1);
    /* The longest name that a folder takes: the temporary one must not be longer. */
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    char *path = in(dir, name);
    assert_ok(ash_output_create(path, false, &o, &err), &err);
    assert_ok(ash_output_commit(o, &err), &err);
    check_file(path, "", 0);
    free(dir), free(slash), free(deep), free(fifo), free(path);
}

/* A full disk, by the file size limit of a child process: the error names the file, and nothing stays behind. */
static void failed_writes_leave_nothing(void **state)
{
    (void)state;
    char *dir = folder("full"), *path = in(dir, "out");
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        ash_error err;
        ash_output *o;
        struct rlimit limit = { 3 << 20, 3 << 20 };
        static uint8_t bytes[1 << 20];
        signal(SIGXFSZ, SIG_IGN);
        int code = setrlimit(RLIMIT_FSIZE, &limit) != 0 || ash_output_create(path, false, &o, &err) != ASH_OK;
        ash_status status = ASH_OK;
        for (int i = 0; i < 8 && code == 0 && status == ASH_OK; i++)
            status = ash_output_append(o, bytes, sizeof bytes, &err);
        if (code == 0 && (status != ASH_E_IO || !strstr(err.text, "full/out: cannot write at byte")))
            code = 2;
        if (code == 0 && ash_output_commit(o, &err) == ASH_OK) /* a file with a hole must not appear */
            code = 3;
        _exit(code);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(test_count_entries(dir), 0);
    free(dir), free(path);
}

static void on_signal(int number)
{
    ash_output_unlink_all();
    _exit(128 + number);
}

static void a_signal_handler_removes_temporary_files(void **state)
{
    (void)state;
    char *dir = folder("signal"), *path = in(dir, "out");
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        ash_error err;
        ash_output *o[3];
        char name[64];
        signal(SIGTERM, on_signal);
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "out%d", i);
            if (ash_output_create(in(dir, name), false, &o[i], &err) != ASH_OK)
                _exit(1);
        }
        if (ash_output_commit(o[1], &err) != ASH_OK)
            _exit(2);
        raise(SIGTERM);
        _exit(3);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 128 + SIGTERM);
    assert_int_equal(test_count_entries(dir), 1); /* the committed one */

    /* An output that goes on regardless fails at commit and puts nothing in place. */
    ash_error err;
    ash_output *o;
    assert_ok(ash_output_create(path, false, &o, &err), &err);
    ash_output_unlink_all();
    ash_output_unlink_all();
    assert_int_equal(ash_output_commit(o, &err), ASH_E_IO);
    assert_int_equal(test_count_entries(dir), 1);
    free(dir), free(path);
}

static void *write_one(void *name)
{
    ash_error err;
    ash_output *o;
    bool good = true;
    for (int i = 0; i < 20 && good; i++) {
        good = ash_output_create(name, true, &o, &err) == ASH_OK;
        if (good && i % 2)
            ash_output_abort(o);
        else if (good)
            good = ash_output_append(o, name, strlen(name), &err) == ASH_OK && ash_output_commit(o, &err) == ASH_OK;
    }
    return good ? name : NULL;
}

static void outputs_of_several_threads(void **state)
{
    (void)state;
    char *dir = folder("threads"), *names[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i / 2); /* two threads each replace the same file */
        names[i] = in(dir, name);
        assert_int_equal(pthread_create(&threads[i], NULL, write_one, names[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_non_null(result);
        check_file(names[i], names[i], strlen(names[i]));
    }
    assert_int_equal(test_count_entries(dir), 2);
    for (int i = 0; i < 4; i++)
        free(names[i]);
    free(dir);
}

/* ---- hashes, cursors, checked sizes ---- */
static void hashes_are_xxh3_128(void **state)
{
    (void)state;
    char text[33];
    /* In the canonical form, high word first, as `xxhsum -H2` prints them; the first is in the xxHash specification. */
    ash_hash_text(ash_hash("", 0), text);
    assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
    ash_hash_text(ash_hash(NULL, 0), text);
    assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
    ash_hash_text(ash_hash("ashlar", 6), text);
    assert_string_equal(text, "ab273cd3b2b53705d70a28abc16bd247");

    test_rng rng = test_rng_start("hash");
    static uint8_t bytes[100000];
    test_rng_bytes(&rng, bytes, sizeof bytes);
    ash_hasher *h = ash_hasher_new();
    assert_non_null(h);
    for (int round = 0; round < 3; round++) { /* streamed in pieces as at once, also after a reset */
        ash_hasher_reset(h);
        for (size_t at = 0; at < sizeof bytes;) {
            size_t n = test_rng_below(&rng, 3000);
            n = n < sizeof bytes - at ? n : sizeof bytes - at;
            ash_hasher_update(h, bytes + at, n);
            at += n;
            assert_true(ash_hash_equal(ash_hasher_digest(h), ash_hash(bytes, at)));
        }
    }
    ash_hash128 before = ash_hash(bytes, sizeof bytes);
    bytes[77777] ^= 1;
    assert_false(ash_hash_equal(before, ash_hash(bytes, sizeof bytes)));
    ash_hasher_free(h);
    ash_hasher_free(NULL);
}

static void cursors_stop_at_the_end(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x80, 9, 9 };
    ash_cursor c = ash_cursor_of(bytes, sizeof bytes);
    assert_int_equal(ash_take_u8(&c), 1);
    assert_int_equal(ash_take_u16(&c), 2);
    assert_int_equal(ash_take_u32(&c), 3);
    assert_true(ash_take_u64(&c) == UINT64_C(0x8000000000000004));
    assert_int_equal(ash_cursor_left(&c), 2);
    assert_non_null(ash_take(&c, 0));
    assert_int_equal(ash_take_u32(&c), 0); /* two are left */
    assert_true(c.bad);
    assert_int_equal(ash_take_u8(&c), 0); /* stays bad */
    c = ash_cursor_of(bytes, 4);
    assert_null(ash_take(&c, UINT64_MAX));
    assert_true(c.bad);
}

static void checked_arithmetic(void **state)
{
    (void)state;
    uint64_t out;
    assert_true(ash_add(UINT64_MAX - 1, 1, &out) && out == UINT64_MAX);
    assert_false(ash_add(UINT64_MAX, 1, &out));
    assert_true(ash_mul(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &out));
    assert_false(ash_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &out));
    assert_true(ash_round_up(0, 7, &out) && out == 0);
    assert_true(ash_round_up(15, 7, &out) && out == 21);
    assert_false(ash_round_up(UINT64_MAX, 4096, &out));
    assert_false(ash_round_up(5, 0, &out));
    assert_true(ash_inside(0, 0, 0) && ash_inside(5, 5, 10) && ash_inside(10, 0, 10));
    assert_false(ash_inside(11, 0, 10) || ash_inside(5, 6, 10));
    assert_false(ash_inside(UINT64_MAX, 2, 10) || ash_inside(2, UINT64_MAX, 10));
    assert_int_equal(ash_div_up(0, 3), 0);
    assert_int_equal(ash_div_up(7, 3), 3);
    assert_true(ash_div_up(UINT64_MAX, 2) == UINT64_C(1) << 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_are_exact),
        cmocka_unit_test(only_regular_files_are_opened),
        cmocka_unit_test(maps_and_whole_files),
        cmocka_unit_test(paths),
        cmocka_unit_test(outputs_hold_what_was_appended),
        cmocka_unit_test(outputs_honour_the_umask),
        cmocka_unit_test(existing_files_survive),
        cmocka_unit_test(impossible_targets),
        cmocka_unit_test(failed_writes_leave_nothing),
        cmocka_unit_test(a_signal_handler_removes_temporary_files),
        cmocka_unit_test(outputs_of_several_threads),
        cmocka_unit_test(hashes_are_xxh3_128),
        cmocka_unit_test(cursors_stop_at_the_end),
        cmocka_unit_test(checked_arithmetic),
    };
    return cmocka_run_group_tests_name("fileio", tests, NULL, NULL);
}
