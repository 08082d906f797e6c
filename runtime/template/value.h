/* The values that templates compute with, and what a rendering carries along.
 *
 * Everything lives in the rendering's arena, or in the template's (constants, names). Strings, lists, tuples and
 * dictionaries do not change once made, so slices share bytes and items. A string knows which of its bytes are input:
 * one flag for all, or one byte of 0 or 1 beside each byte of text.
 */
#ifndef ASHLAR_RUNTIME_TEMPLATE_VALUE_H
#define ASHLAR_RUNTIME_TEMPLATE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/status.h"
#include "runtime/template/arena.h"
#include "runtime/template/limits.h"
#include "runtime/template/template.h"

typedef enum ash_kind {
    ASH_V_MISSING, /* an argument that was not given; never seen by a template */
    ASH_V_UNDEFINED,
    ASH_V_NONE,
    ASH_V_BOOL,
    ASH_V_INT,
    ASH_V_FLOAT,
    ASH_V_STRING,
    ASH_V_LIST,
    ASH_V_TUPLE,
    ASH_V_DICT,
    ASH_V_RANGE,
    ASH_V_GENERATOR, /* what map, select, ... give: can be walked once, has neither length nor index */
    ASH_V_KEYS,      /* views of a dictionary */
    ASH_V_VALUES,
    ASH_V_ITEMS,
    ASH_V_NAMESPACE, /* the one value that changes */
    ASH_V_MACRO,
    ASH_V_METHOD,
    ASH_V_FUNCTION,
    ASH_V_LOOP,
    ASH_V_CYCLER,
    ASH_V_JOINER,
} ash_kind;

typedef enum ash_why { ASH_WHY_NAME, ASH_WHY_ATTRIBUTE, ASH_WHY_ITEM, ASH_WHY_UNSAFE, ASH_WHY_TEXT } ash_why;

typedef struct ash_builder ash_builder;
typedef struct ash_string {
    const char *text;
    const uint8_t *marks; /* one per byte; NULL: all are `input` */
    ash_builder *tail;    /* where the bytes stand, when more may be appended behind them; or NULL */
    uint32_t bytes;
    uint32_t chars; /* code points; UINT32_MAX: not counted yet */
    bool input;
    bool markup; /* HTML that is safe already: what the filters e and safe give */
} ash_string;

/* Initializes a string of ASCII that is the program's own. */
#define ASH_LITERAL(ascii) { .text = ascii, .bytes = sizeof ascii - 1, .chars = sizeof ascii - 1 }

typedef struct ash_list ash_list;
typedef struct ash_dict ash_dict;
typedef struct ash_value {
    uint8_t kind;
    uint8_t why;    /* UNDEFINED: what is missing */
    uint8_t owner;  /* UNDEFINED: the kind of value that lacks it */
    union {
        bool b;
        int64_t i;
        double f;
        const ash_string *s; /* STRING; UNDEFINED: the name, or the whole text for ASH_WHY_TEXT */
        ash_list *list;      /* LIST, TUPLE, GENERATOR */
        ash_dict *dict;      /* DICT, KEYS, VALUES, ITEMS, NAMESPACE */
        struct ash_range *range;
        struct ash_macro *macro;
        struct ash_method *method;
        const struct ash_builtin *function;
        struct ash_loop *loop;
        struct ash_cycler *cycler;
        struct ash_joiner *joiner;
    };
} ash_value;

struct ash_list {
    ash_value *items;
    uint32_t count;
    uint32_t at; /* GENERATOR: how many have been taken; TUPLE: ASH_GROUP for one that groupby made */
};
#define ASH_GROUP 1 /* its items are also called grouper and list */
typedef struct ash_pair {
    ash_value key, value;
} ash_pair;
struct ash_dict {
    ash_pair *pairs; /* in the order of insertion */
    uint32_t count, room;
};
typedef struct ash_range {
    int64_t start, stop, step, count;
} ash_range;
typedef struct ash_cycler {
    ash_value *items;
    uint32_t count, at;
} ash_cycler;
typedef struct ash_joiner {
    const ash_string *separator;
    bool used;
} ash_joiner;
typedef struct ash_method {
    ash_value self;
    const struct ash_builtin *builtin;
} ash_method;

typedef struct ash_run {
    ash_arena arena;
    const ash_template *template;
    const ash_template_input *input;
    ash_error *err;
    ash_value *globals; /* by name number */
    ash_builder *out;   /* where output goes: the text, or a macro's or block's */
    uint32_t line;      /* of what is being evaluated */
    uint32_t depth;
    uint64_t steps, steps_max;
} ash_run;

/* Fails with "line N: " before the text. */
ash_status ash_run_fail(ash_run *r, ash_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
ash_status ash_run_alloc(ash_run *r, size_t bytes, void *out_pointer); /* zeroed; *(void **)out_pointer */
ash_status ash_run_steps(ash_run *r, uint64_t steps);
ash_status ash_run_bytes(ash_run *r, size_t bytes); /* the steps of copying so many bytes */
ash_status ash_run_decode(ash_run *r, size_t bytes); /* of stepping through their characters */
ash_status ash_run_change(ash_run *r, size_t bytes); /* of asking Unicode tables about each */
ash_status ash_run_enter(ash_run *r);               /* one level deeper; r->depth-- leaves it */
#define ASH_WRONG_TYPE(r, what, v) \
    ash_run_fail(r, ASH_E_FORMAT, "%s does not work on %s", what, ash_kind_name((v).kind))
ash_status ash_fail_undefined(ash_run *r, ash_value v);

/* ---- making values ---- */
static inline ash_value ash_none(void) { return (ash_value){ .kind = ASH_V_NONE }; }
static inline ash_value ash_bool(bool b) { return (ash_value){ .kind = ASH_V_BOOL, .b = b }; }
static inline ash_value ash_int(int64_t i) { return (ash_value){ .kind = ASH_V_INT, .i = i }; }
static inline ash_value ash_float(double f) { return (ash_value){ .kind = ASH_V_FLOAT, .f = f }; }
static inline ash_value ash_str(const ash_string *s) { return (ash_value){ .kind = ASH_V_STRING, .s = s }; }
ash_value ash_undefined(ash_why why, ash_kind owner, const ash_string *name);
ash_status ash_list_new(ash_run *r, ash_kind kind, uint32_t count, ash_value *out); /* items are zeroed */
ash_status ash_list_of(ash_run *r, ash_kind kind, ash_value *items, uint32_t count, ash_value *out); /* not copied */
ash_status ash_dict_new(ash_run *r, uint32_t room, ash_value *out);
/* Replaces the value of an equal key. Fails for keys that are lists or dictionaries. */
ash_status ash_dict_set(ash_run *r, ash_dict *d, ash_value key, ash_value value);
ash_status ash_dict_get(ash_run *r, const ash_dict *d, ash_value key, const ash_value **out); /* *out NULL: absent */
const ash_value *ash_dict_find(const ash_dict *d, const ash_string *key);
/* A growing array of values. */
typedef struct ash_values {
    ash_value *items;
    uint32_t count, room;
} ash_values;
ash_status ash_values_add(ash_run *r, ash_values *list, ash_value v);

/* ---- asking ---- */
const char *ash_kind_name(ash_kind kind); /* as Python calls the type */
bool ash_truth(ash_value v);
static inline bool ash_is_number(ash_value v) { return v.kind >= ASH_V_BOOL && v.kind <= ASH_V_FLOAT; }
static inline bool ash_is_integer(ash_value v) { return v.kind == ASH_V_BOOL || v.kind == ASH_V_INT; }
static inline int64_t ash_as_int(ash_value v) { return v.kind == ASH_V_BOOL ? v.b : v.i; }
static inline double ash_as_float(ash_value v) { return v.kind == ASH_V_FLOAT ? v.f : (double)ash_as_int(v); }
static inline bool ash_is_hashable(ash_value v) { return v.kind != ASH_V_LIST && v.kind != ASH_V_DICT; }
ash_status ash_equal(ash_run *r, ash_value a, ash_value b, bool *out);
/* <0, 0, >0 as Python orders them; fails for values without an order. NaN compares as *unordered. */
ash_status ash_compare(ash_run *r, ash_value a, ash_value b, int *out, bool *unordered);
ash_status ash_contains(ash_run *r, ash_value container, ash_value item, bool *out);
bool ash_length(ash_value v, int64_t *out); /* false: it has none */
/* The items one walks over it: an array that may be the value's own. A generator is used up. */
ash_status ash_iterate(ash_run *r, ash_value v, ash_value **items, uint32_t *count);
bool ash_is_iterable(ash_value v);

/* ---- numbers ---- */
typedef enum ash_math { ASH_ADD, ASH_SUB, ASH_MUL, ASH_DIV, ASH_FLOORDIV, ASH_MOD, ASH_POW } ash_math;
ash_status ash_arithmetic(ash_run *r, ash_math op, ash_value a, ash_value b, ash_value *out);
ash_status ash_negate(ash_run *r, ash_value v, ash_value *out);
int ash_float_repr(double f, char out[40]); /* as Python's repr; the length */

/* ---- from outside ---- */
struct cJSON;
ash_status ash_value_from_json(ash_run *r, const struct cJSON *json, ash_value *out);

#endif
