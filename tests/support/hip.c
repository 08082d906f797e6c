#include "tests/support/hip.h"

#include <stdlib.h>
#include <string.h>

#define MISSING "the stand-in for HIP is not built: clang-19, lld-19 or llvm-19-dev is not installed"

void hip_standin(void)
{
    char path[512];
    if (hip.reset)
        return;
    if (!test_exists(standin_path(path))) {
        if (getenv("CI"))
            fail_msg("%s", MISSING);
        test_skip(MISSING);
    }
    char *nodes = test_path("kfd");
    setenv("ASHLAR_HIP_LIBRARY", path, 1);
    setenv("ASHLAR_KFD_NODES", nodes, 1);
    free(nodes);
    standin_open(NULL);
}

void hip_reset(void) { hip.reset(); }

void hip_set(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
    hip_reset();
}

standin_counts hip_counts(void) { return standin_count(); }

void hip_assert_clean(void)
{
    if (hip.error(0))
        fail_msg("the stand-in says: %s", hip.error(0));
}

void hip_assert_freed(void)
{
    standin_counts c = hip_counts();
    assert_int_equal(c.allocations, 0);
    assert_int_equal(c.pinned, 0);
    assert_int_equal(c.streams, 0);
    assert_int_equal(c.events, 0);
    assert_int_equal(c.modules, 0);
    assert_int_equal(c.graphs, 0);
    assert_int_equal(c.graph_execs, 0);
    assert_int_equal(c.device_bytes, 0);
}

ashlar_session *hip_session(const ashlar_model *model, const ashlar_session_options *options)
{
    ashlar_session *session;
    ashlar_error err;
    if (ashlar_session_new(model, options, &session, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    assert_ptr_equal(strstr(ashlar_session_device(session), "hip:0, "), ashlar_session_device(session));
    return session;
}
