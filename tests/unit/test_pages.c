/* Memory that a session reserves: zeroed, and with the page size asked of the system as the caller says. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/kv_cache.h"
#include "tests/support/support.h"

#define BYTES ((uint64_t)8 << 20)

static bool has_large_pages(void)
{
    void *p = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    bool can = madvise(p, BYTES, MADV_HUGEPAGE) == 0 && test_mapping_has(p, " hg");
    munmap(p, BYTES);
    return can;
}

static void test_page_size(void **state)
{
    (void)state;
    bool told = has_large_pages();
    for (int size = ASH_PAGES_SMALL; size <= ASH_PAGES_LARGE; size++) {
        uint8_t *p = ash_pages_new(BYTES, (ash_page_size)size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 4096, 0);
        for (uint64_t i = 0; i < BYTES; i += 4096)
            assert_int_equal(p[i], 0);
        if (told) {
            assert_int_equal(test_mapping_has(p, " hg"), size == ASH_PAGES_LARGE);
            assert_int_equal(test_mapping_has(p, " nh"), size == ASH_PAGES_SMALL);
        }
        ash_pages_free(p, BYTES);
    }
    assert_null(ash_pages_new(0, ASH_PAGES_ANY));
    assert_null(ash_pages_new(UINT64_MAX, ASH_PAGES_LARGE));
    ash_pages_free(NULL, 0);
    if (!told)
        test_skip("this kernel has no large pages");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_page_size) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
