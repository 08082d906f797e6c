/* Bounds of compiling and rendering. Real templates are up to 20 KB, nest 12 deep and render a conversation of a
 * thousand messages in under a million steps. */
#ifndef ASHLAR_RUNTIME_TEMPLATE_LIMITS_H
#define ASHLAR_RUNTIME_TEMPLATE_LIMITS_H

#define TEMPLATE_TEXT_MAX (1u << 20)  /* bytes of source */
#define TEMPLATE_DEPTH_MAX 160        /* nesting of expressions and blocks in the source */
#define TEMPLATE_STEPS_MAX 10000000u  /* nodes evaluated, plus work on long values: under a second */
#define TEMPLATE_RUN_DEPTH_MAX 600    /* nested evaluations, through macros too: under 1 MiB of stack */
#define TEMPLATE_VALUE_DEPTH_MAX 100  /* lists in lists, where they are printed or compared */
#define TEMPLATE_MEMORY_MAX (256u << 20) /* all that one rendering allocates */
#define TEMPLATE_OUTPUT_MAX (64u << 20)  /* also of any one string */
#define TEMPLATE_RANGE_MAX 100000     /* the sandbox's own bound for range() */

/* What costs about as much as evaluating one node: */
#define TEMPLATE_BYTES_PER_STEP 64   /* copying or comparing bytes */
#define TEMPLATE_DECODED_PER_STEP 8  /* stepping through characters */
#define TEMPLATE_CHANGED_PER_STEP 1  /* asking Unicode tables about them */

#endif
