/* A compiled template: a tree of nodes in an arena, names numbered. */
#ifndef ASHLAR_RUNTIME_TEMPLATE_AST_H
#define ASHLAR_RUNTIME_TEMPLATE_AST_H

#include "runtime/template/call.h"
#include "runtime/template/value.h"

typedef enum ash_op {
    /* expressions */
    ASH_N_CONST,     /* value */
    ASH_N_NAME,      /* name, number */
    ASH_N_LIST,      /* items */
    ASH_N_TUPLE,     /* items */
    ASH_N_DICT,      /* items: key, value, key, value, ... */
    ASH_N_ATTRIBUTE, /* a.name */
    ASH_N_ITEM,      /* a[b] */
    ASH_N_SLICE,     /* a[items 0:1:2], each may be NULL */
    ASH_N_CALL,      /* a(args) */
    ASH_N_FILTER,    /* a | name(args); a is NULL in a filter block */
    ASH_N_TEST,      /* a is name(args) */
    ASH_N_NOT,
    ASH_N_NEGATE,
    ASH_N_POSITIVE,
    ASH_N_MATH,    /* a, b, how */
    ASH_N_CONCAT,  /* items */
    ASH_N_AND,
    ASH_N_OR,
    ASH_N_COMPARE, /* a, then items[i] by operands[i] */
    ASH_N_COND,    /* b if a else c; c may be NULL */
    ASH_N_NSREF,   /* name.attribute as a target */
    /* statements */
    ASH_N_OUTPUT,  /* items */
    ASH_N_BODY,    /* items */
    ASH_N_IF,      /* a, b, c (may be NULL) */
    ASH_N_FOR,     /* a: target, b: iterable, c: body; more: test, else */
    ASH_N_BREAK,
    ASH_N_CONTINUE,
    ASH_N_SET,       /* a = b */
    ASH_N_SET_BLOCK, /* a, b: body, c: filters or NULL */
    ASH_N_WITH,      /* items: targets and values by turns; b: body */
    ASH_N_MACRO,     /* name; items: parameters; defaults; b: body */
    ASH_N_CALL_BLOCK, /* a: the call; c: a MACRO node for the body */
    ASH_N_FILTER_BLOCK, /* c: filters, b: body */
    ASH_N_SCOPE,     /* b: body, with names of its own */
} ash_op;

typedef enum ash_comparison { ASH_EQ, ASH_NE, ASH_LT, ASH_LE, ASH_GT, ASH_GE, ASH_IN, ASH_NOT_IN } ash_comparison;

typedef struct ash_node ash_node;
typedef struct ash_node_args {
    ash_node **items;
    const ash_string **keys;
    ash_node **values;
    ash_node *star, *star_star; /* *args, **kwargs */
    uint32_t count, key_count;
} ash_node_args;

struct ash_node {
    uint8_t op;
    uint8_t how; /* MATH: ash_math */
    uint32_t line;
    uint32_t count, number; /* of items; of the name */
    ash_node *a, *b, *c;
    ash_node **items;
    const ash_string *name, *attribute;
    union {
        ash_value value;
        ash_node_args *args;
        struct {
            ash_node *test, *otherwise;
            bool recursive;
            bool keeps_scopes; /* a macro, call block or recursive loop within may outlive a round */
        } loop;
        const uint8_t *operands;
        struct {
            ash_node **defaults; /* of the last default_count parameters */
            uint32_t default_count;
            bool uses_caller, uses_varargs, uses_kwargs;
        } macro;
    };
    const ash_builtin *builtin; /* FILTER, TEST; NULL: unknown, an error when reached */
};

/* Names that every template numbers the same. */
enum { ASH_NAME_LOOP, ASH_NAME_CALLER, ASH_NAME_VARARGS, ASH_NAME_KWARGS };

struct ash_template {
    ash_arena arena;
    ash_node *body;
    const ash_string **names; /* by number */
    uint32_t name_count;
};

/* ---- tokens ---- */
typedef enum ash_token_kind {
    ASH_T_END,
    ASH_T_DATA, /* text between tags, white space already taken off */
    ASH_T_OUTPUT_BEGIN, /* {{ */
    ASH_T_OUTPUT_END,
    ASH_T_BLOCK_BEGIN, /* {% */
    ASH_T_BLOCK_END,
    ASH_T_NAME,
    ASH_T_STRING,
    ASH_T_INTEGER,
    ASH_T_FLOAT,
    ASH_T_OPERATOR,
} ash_token_kind;
typedef struct ash_token {
    ash_token_kind kind;
    uint32_t line;
    const char *text; /* DATA, STRING: what it means; NAME, OPERATOR: as written, in the source */
    size_t bytes;
    union {
        int64_t i;
        double f;
    };
} ash_token;

/* Splits source text; *tokens ends with ASH_T_END and lies in the arena. */
ash_status ash_template_lex(ash_arena *arena, const char *text, size_t bytes, ash_token **tokens, size_t *count,
                            ash_error *err);
/* Fills t->body and names. */
ash_status ash_template_parse(ash_template *t, const ash_token *tokens, ash_error *err);

#endif
