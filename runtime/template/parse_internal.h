/* What the parser of statements and the parser of expressions share. */
#ifndef ASHLAR_RUNTIME_TEMPLATE_PARSE_INTERNAL_H
#define ASHLAR_RUNTIME_TEMPLATE_PARSE_INTERNAL_H

#include "runtime/template/ast.h"

typedef struct ash_parser {
    ash_template *t;
    const ash_token *at;
    ash_error *err;
    uint32_t *slots; /* hash table of names: number + 1, or 0 */
    uint32_t slot_count, name_room;
    uint32_t depth;
    uint32_t closures;   /* macros, call blocks and recursive loops so far */
    uint32_t loops;      /* for loops around, within the innermost macro */
    uint32_t all_loops;  /* and outside of it */
    bool soft;               /* inside an if: unknown filters are errors only when reached */
    const ash_node *unknown; /* a filter or test outside of one that is not there */
    struct ash_macro_names {
        struct ash_macro_names *up;
        bool caller, varargs, kwargs; /* the body names them */
    } *macro;
} ash_parser;

typedef struct ash_node_list {
    ash_node **items;
    uint32_t count, room;
} ash_node_list;

ash_status ash_parse_fail(ash_parser *p, ash_status status, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));
ash_status ash_parse_unexpected(ash_parser *p, const char *wanted) __attribute__((cold));
ash_status ash_parse_alloc(ash_parser *p, size_t bytes, void *out_pointer);
ash_status ash_parse_enter(ash_parser *p); /* p->depth-- leaves */
ash_status ash_node_new(ash_parser *p, ash_op op, uint32_t line, ash_node **out);
ash_status ash_node_list_add(ash_parser *p, ash_node_list *list, ash_node *node);
/* The list becomes node's items. */
void ash_node_take_list(ash_node *node, const ash_node_list *list);
ash_status ash_parse_intern(ash_parser *p, const char *text, size_t bytes, const ash_string **name, uint32_t *number);

bool ash_at_operator(const ash_parser *p, const char *text);
bool ash_at_name(const ash_parser *p, const char *text);
bool ash_skip_operator(ash_parser *p, const char *text); /* takes it where it is next */
bool ash_skip_name(ash_parser *p, const char *text);
ash_status ash_expect_operator(ash_parser *p, const char *text);
ash_status ash_expect_name(ash_parser *p, const ash_token **out);

ash_status ash_parse_expression(ash_parser *p, bool with_condition, ash_node **out);
/* One expression or several with commas; `end`: a name that also ends it, or NULL. `target`: names and tuples alone. */
ash_status ash_parse_tuple(ash_parser *p, bool target, bool with_condition, const char *end, bool parenthesized,
                           bool with_namespace, ash_node **out);
/* What set, for and with assign to. */
ash_status ash_parse_target(ash_parser *p, const char *end, bool with_namespace, ash_node **out);
/* "| name(args) | ..." after `input` (NULL in blocks); `bare`: the first bar is left out. */
ash_status ash_parse_filters(ash_parser *p, ash_node *input, bool bare, ash_node **out);

#endif
