/* For test_kernels_evex, which has the products of AVX-VNNI as their EVEX twins: they run where AVX-512 VNNI is. Its link
 * wraps ash_level_has in this. */
#include "kernels/kernels.h"

bool __real_ash_level_has(ash_level level);
bool __wrap_ash_level_has(ash_level level);

bool __wrap_ash_level_has(ash_level level)
{
    return __real_ash_level_has(level == ASH_LEVEL_AVXVNNI ? ASH_LEVEL_VNNI : level);
}
