/* The error convention of the whole project.
 *
 * A function that can fail returns an ash_status and takes an `ash_error *err`
 * as its last parameter (never NULL). ASH_OK is 0 and leaves *err untouched;
 * anything else means that *err holds one line of at most ASH_ERROR_MAX - 1
 * bytes, without a newline, that says what failed, where (file, tensor, key),
 * and what to do. On failure out parameters hold NULL or 0 and nothing is leaked.
 * The library never prints and never exits; the command prints err->text.
 */
#ifndef ASHLAR_FORMAT_STATUS_H
#define ASHLAR_FORMAT_STATUS_H

#define ASH_ERROR_MAX 512

typedef enum ash_status {
    ASH_OK = 0,
    ASH_E_ARGUMENT,    /* the caller asked for something that makes no sense */
    ASH_E_IO,          /* the operating system refused: open, read, write, rename */
    ASH_E_MEMORY,      /* an allocation failed */
    ASH_E_FORMAT,      /* a file's bytes contradict its format */
    ASH_E_CHECKSUM,    /* well-formed bytes whose hash is wrong */
    ASH_E_UNSUPPORTED, /* well-formed, but we cannot use it: dtype, architecture, version */
    ASH_E_LIMIT,       /* a defined bound is reached: context full, file too large */
    ASH_E_CANCELLED,   /* a callback or a signal asked to stop */
} ash_status;

typedef struct ash_error {
    ash_status status;
    char text[ASH_ERROR_MAX];
} ash_error;

/* Fills *err and returns `status`, so that a caller can write `return ash_fail(err, ...)`.
 * Control characters that come in through file content are replaced by '?'. */
ash_status ash_fail(ash_error *err, ash_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Like ash_fail, with ": " and strerror(errno) appended; status is ASH_E_IO
 * (ASH_E_MEMORY for ENOMEM). */
ash_status ash_fail_errno(ash_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Puts "`prefix`: " before err->text; returns err->status. For adding a file's name on the way up. */
ash_status ash_fail_in(ash_error *err, const char *prefix) __attribute__((cold));

#define ASH_TRY(expr)                       \
    do {                                    \
        ash_status ash_try_ = (expr);       \
        if (ash_try_ != ASH_OK)             \
            return ash_try_;                \
    } while (0)

#endif
