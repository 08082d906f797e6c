/* The product on the stand-in for HIP: its environment, and its counts from inside the test. */
#ifndef ASHLAR_TESTS_SUPPORT_HIP_H
#define ASHLAR_TESTS_SUPPORT_HIP_H

#include "runtime/ashlar.h"
#include "tests/support/standin.h"

/* ASHLAR_HIP_LIBRARY and ASHLAR_KFD_NODES for this process and its children, with one RX 9070 XT; loads the stand-in. Ends the
 * test as skipped (CI: failed) where it could not be built. */
void hip_standin(void);
/* Forgets everything, with the environment as it is now; every session must be freed. */
void hip_reset(void);
/* Sets a variable of the stand-in (NULL: none), then hip_reset. */
void hip_set(const char *name, const char *value);
standin_counts hip_counts(void);
/* Fails the test with the stand-in's first complaint. */
void hip_assert_clean(void);
/* Nothing of the card is held. */
void hip_assert_freed(void);

/* A session with these options on the card; fails the test where it cannot be. */
ashlar_session *hip_session(const ashlar_model *model, const ashlar_session_options *options);

#endif
