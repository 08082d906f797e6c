/* Expressions, weakest binding first:
 *   a if b else c;  or;  and;  not;  == != < <= > >= in, not in;  + -;  ~;  * / // %;  **;  - + before;
 *   . [] () behind;  | filters, is tests
 */
#include <string.h>

#include "runtime/template/parse_internal.h"
#include "runtime/template/strings.h"

static ash_status parse_or(ash_parser *p, ash_node **out);
static ash_status parse_unary(ash_parser *p, bool with_filters, ash_node **out);

static ash_status two(ash_parser *p, ash_op op, uint32_t line, ash_node *a, ash_node *b, ash_node **out)
{
    ASH_TRY(ash_node_new(p, op, line, out));
    (*out)->a = a;
    (*out)->b = b;
    return ASH_OK;
}

static ash_status constant(ash_parser *p, uint32_t line, ash_value value, ash_node **out)
{
    ASH_TRY(ash_node_new(p, ASH_N_CONST, line, out));
    (*out)->value = value;
    return ASH_OK;
}

/* ---- atoms ---- */

static void note_special(ash_parser *p, const ash_string *name)
{
    for (struct ash_macro_names *m = p->macro; m; m = m->up) {
        m->caller |= ash_string_is(name, "caller");
        m->varargs |= ash_string_is(name, "varargs");
        m->kwargs |= ash_string_is(name, "kwargs");
    }
}

static ash_status parse_name(ash_parser *p, bool with_namespace, ash_node **out)
{
    uint32_t line = p->at->line;
    if (ash_skip_name(p, "true") || ash_skip_name(p, "True"))
        return constant(p, line, ash_bool(true), out);
    if (ash_skip_name(p, "false") || ash_skip_name(p, "False"))
        return constant(p, line, ash_bool(false), out);
    if (ash_skip_name(p, "none") || ash_skip_name(p, "None"))
        return constant(p, line, ash_none(), out);
    const ash_token *name;
    ASH_TRY(ash_expect_name(p, &name));
    ASH_TRY(ash_node_new(p, ASH_N_NAME, line, out));
    ASH_TRY(ash_parse_intern(p, name->text, name->bytes, &(*out)->name, &(*out)->number));
    if (with_namespace && ash_skip_operator(p, ".")) {
        (*out)->op = ASH_N_NSREF;
        ASH_TRY(ash_expect_name(p, &name));
        return ash_parse_intern(p, name->text, name->bytes, &(*out)->attribute, NULL);
    }
    note_special(p, (*out)->name);
    return ASH_OK;
}

/* Neighbouring strings are one. */
static ash_status parse_string(ash_parser *p, ash_node **out)
{
    const ash_token *first = p->at;
    size_t bytes = 0;
    for (; p->at->kind == ASH_T_STRING; p->at++)
        bytes += p->at->bytes;
    ash_string *s;
    char *text;
    ASH_TRY(ash_parse_alloc(p, sizeof *s, &s));
    ASH_TRY(ash_parse_alloc(p, bytes, &text));
    *s = (ash_string){ .text = text, .bytes = (uint32_t)bytes, .chars = UINT32_MAX };
    for (const ash_token *t = first; t < p->at; t++) {
        if (t->bytes)
            memcpy(text, t->text, t->bytes);
        text += t->bytes;
    }
    ash_string_chars(s); /* counted now: rendering does not write to a template */
    return constant(p, first->line, ash_str(s), out);
}

static ash_status parse_list(ash_parser *p, ash_node **out)
{
    ash_node_list items = { 0 };
    ASH_TRY(ash_node_new(p, ASH_N_LIST, p->at->line, out));
    p->at++;
    while (!ash_at_operator(p, "]")) {
        ash_node *item;
        if (items.count)
            ASH_TRY(ash_expect_operator(p, ","));
        if (ash_at_operator(p, "]"))
            break;
        ASH_TRY(ash_parse_expression(p, true, &item));
        ASH_TRY(ash_node_list_add(p, &items, item));
    }
    p->at++;
    ash_node_take_list(*out, &items);
    return ASH_OK;
}

static ash_status parse_dict(ash_parser *p, ash_node **out)
{
    ash_node_list items = { 0 };
    ASH_TRY(ash_node_new(p, ASH_N_DICT, p->at->line, out));
    p->at++;
    while (!ash_at_operator(p, "}")) {
        ash_node *key, *value;
        if (items.count)
            ASH_TRY(ash_expect_operator(p, ","));
        if (ash_at_operator(p, "}"))
            break;
        ASH_TRY(ash_parse_expression(p, true, &key));
        ASH_TRY(ash_expect_operator(p, ":"));
        ASH_TRY(ash_parse_expression(p, true, &value));
        ASH_TRY(ash_node_list_add(p, &items, key));
        ASH_TRY(ash_node_list_add(p, &items, value));
    }
    p->at++;
    ash_node_take_list(*out, &items);
    return ASH_OK;
}

static ash_status parse_primary(ash_parser *p, bool with_namespace, ash_node **out)
{
    const ash_token *token = p->at;
    switch (token->kind) {
    case ASH_T_NAME:
        return parse_name(p, with_namespace, out);
    case ASH_T_STRING:
        return parse_string(p, out);
    case ASH_T_INTEGER:
        p->at++;
        return constant(p, token->line, ash_int(token->i), out);
    case ASH_T_FLOAT:
        p->at++;
        return constant(p, token->line, ash_float(token->f), out);
    default:
        if (ash_skip_operator(p, "(")) {
            ASH_TRY(ash_parse_tuple(p, false, true, NULL, true, false, out));
            return ash_expect_operator(p, ")");
        }
        if (ash_at_operator(p, "["))
            return parse_list(p, out);
        if (ash_at_operator(p, "{"))
            return parse_dict(p, out);
        return ash_parse_unexpected(p, "an expression");
    }
}

/* ---- behind an expression: attributes, items, calls, filters, tests ---- */

static ash_status parse_args(ash_parser *p, ash_node *node)
{
    ash_node_args *args;
    ash_node_list items = { 0 }, values = { 0 };
    uint32_t line = p->at->line, key_room = 0;
    ASH_TRY(ash_parse_alloc(p, sizeof *args, &args));
    ASH_TRY(ash_expect_operator(p, "("));
    bool comma = false;
    while (!ash_at_operator(p, ")")) {
        ash_node *value;
        if (comma)
            ASH_TRY(ash_expect_operator(p, ","));
        if (ash_at_operator(p, ")"))
            break;
        comma = true;
        bool star = ash_at_operator(p, "*"), stars = ash_at_operator(p, "**");
        bool key = p->at->kind == ASH_T_NAME && p->at[1].kind == ASH_T_OPERATOR && p->at[1].bytes == 1 &&
                   p->at[1].text[0] == '=';
        if (args->star_star || (args->star && !stars && !key) || (!star && !stars && !key && values.count))
            return ash_parse_fail(p, ASH_E_FORMAT, line, "arguments in a wrong order");
        const ash_token *name = p->at;
        p->at += star || stars ? 1 : key ? 2 : 0;
        ASH_TRY(ash_parse_expression(p, true, &value));
        if (star) {
            args->star = value;
        } else if (stars) {
            args->star_star = value;
        } else if (key) {
            if (values.count == key_room) {
                const ash_string **grown;
                key_room = key_room ? 2 * key_room : 4;
                ASH_TRY(ash_parse_alloc(p, key_room * sizeof *grown, &grown));
                if (values.count)
                    memcpy(grown, args->keys, values.count * sizeof *grown);
                args->keys = grown;
            }
            ASH_TRY(ash_parse_intern(p, name->text, name->bytes, &args->keys[values.count], NULL));
            for (uint32_t i = 0; i < values.count; i++)
                if (args->keys[i] == args->keys[values.count])
                    return ash_parse_fail(p, ASH_E_FORMAT, line, "the argument %.*s is given twice",
                                          (int)(name->bytes < 80 ? name->bytes : 80), name->text);
            ASH_TRY(ash_node_list_add(p, &values, value));
        } else {
            ASH_TRY(ash_node_list_add(p, &items, value));
        }
    }
    p->at++;
    args->items = items.items;
    args->count = items.count;
    args->values = values.items;
    args->key_count = values.count;
    node->args = args;
    return ASH_OK;
}

static ash_status no_args(ash_parser *p, ash_node *node) { return ash_parse_alloc(p, sizeof *node->args, &node->args); }

static bool slice_part_ends(const ash_parser *p)
{
    return ash_at_operator(p, ":") || ash_at_operator(p, "]") || ash_at_operator(p, ",");
}

/* One subscript: an expression, or a slice; *slice is then set and *out is a node of op SLICE without its object. */
static ash_status parse_subscript(ash_parser *p, ash_node **out, bool *slice)
{
    ash_node *parts[3] = { 0 };
    uint32_t line = p->at->line;
    *slice = false;
    if (!ash_at_operator(p, ":")) {
        ASH_TRY(ash_parse_expression(p, true, &parts[0]));
        *out = parts[0];
        if (!ash_at_operator(p, ":"))
            return ASH_OK;
    }
    *slice = true;
    ASH_TRY(ash_node_new(p, ASH_N_SLICE, line, out));
    ASH_TRY(ash_parse_alloc(p, sizeof parts, &(*out)->items));
    for (int i = 1; i < 3 && ash_skip_operator(p, ":"); i++)
        if (!slice_part_ends(p))
            ASH_TRY(ash_parse_expression(p, true, &parts[i]));
    for (int i = 0; i < 3; i++)
    memcpy((*out)->items, parts, sizeof parts);
    (*out)->count = 3;
    return ASH_OK;
}

static ash_status parse_brackets(ash_parser *p, ash_node *object, ash_node **out)
{
    uint32_t line = p->at->line;
    ash_node_list keys = { 0 };
    bool slice = false;
    p->at++;
    while (!ash_at_operator(p, "]")) {
        ash_node *key;
        if (keys.count)
            ASH_TRY(ash_expect_operator(p, ","));
        ASH_TRY(parse_subscript(p, &key, &slice));
        ASH_TRY(ash_node_list_add(p, &keys, key));
        if (slice && (keys.count > 1 || !ash_at_operator(p, "]")))
            return ash_parse_fail(p, ASH_E_UNSUPPORTED, line, "a slice among several subscripts");
    }
    p->at++;
    if (slice) {
        *out = keys.items[0];
        (*out)->a = object;
        return ASH_OK;
    }
    ash_node *key = keys.count == 1 ? keys.items[0] : NULL;
    if (!key) {
        ASH_TRY(ash_node_new(p, ASH_N_TUPLE, line, &key));
        ash_node_take_list(key, &keys);
    }
    return two(p, ASH_N_ITEM, line, object, key, out);
}

static ash_status parse_postfix(ash_parser *p, ash_node *node, ash_node **out)
{
    for (;;) {
        uint32_t line = p->at->line;
        *out = node;
        if (ash_skip_operator(p, ".")) {
            const ash_token *name = p->at;
            if (name->kind == ASH_T_INTEGER) {
                ash_node *index;
                p->at++;
                ASH_TRY(constant(p, line, ash_int(name->i), &index));
                ASH_TRY(two(p, ASH_N_ITEM, line, node, index, out));
            } else {
                ASH_TRY(ash_expect_name(p, &name));
                ASH_TRY(two(p, ASH_N_ATTRIBUTE, line, node, NULL, out));
                ASH_TRY(ash_parse_intern(p, name->text, name->bytes, &(*out)->name, NULL));
            }
        } else if (ash_at_operator(p, "[")) {
            ASH_TRY(parse_brackets(p, node, out));
        } else if (ash_at_operator(p, "(")) {
            ASH_TRY(two(p, ASH_N_CALL, line, node, NULL, out));
            ASH_TRY(parse_args(p, *out));
        } else {
            return ASH_OK;
        }
        node = *out;
    }
}

/* A filter's or test's name, which may have dots in it. */
static ash_status parse_dotted(ash_parser *p, ash_node *node)
{
    const ash_token *first, *last;
    ASH_TRY(ash_expect_name(p, &first));
    last = first;
    while (ash_skip_operator(p, "."))
        ASH_TRY(ash_expect_name(p, &last));
    return ash_parse_intern(p, first->text, (size_t)(last->text - first->text) + last->bytes, &node->name, NULL);
}

/* One that is not there fails at the end of the tag: an inline if may follow, and forgive it until it is reached. */
static void find_builtin(ash_parser *p, ash_node *node)
{
    node->builtin = node->op == ASH_N_FILTER ? ash_find_filter(node->name) : ash_find_test(node->name);
    if (!node->builtin && !p->soft && !p->unknown)
        p->unknown = node;
}

ash_status ash_parse_filters(ash_parser *p, ash_node *input, bool bare, ash_node **out)
{
    *out = input;
    while (bare || ash_at_operator(p, "|")) {
        if (!bare)
            p->at++;
        bare = false;
        ash_node *before = *out;
        ASH_TRY(two(p, ASH_N_FILTER, p->at->line, before, NULL, out));
        ASH_TRY(parse_dotted(p, *out));
        if (ash_at_operator(p, "("))
            ASH_TRY(parse_args(p, *out));
        else
            ASH_TRY(no_args(p, *out));
        find_builtin(p, *out);
    }
    return ASH_OK;
}

static ash_status parse_test(ash_parser *p, ash_node *node, ash_node **out)
{
    uint32_t line = p->at->line;
    p->at++;
    bool negated = ash_skip_name(p, "not");
    ASH_TRY(two(p, ASH_N_TEST, line, node, NULL, out));
    ASH_TRY(parse_dotted(p, *out));
    bool argument = p->at->kind == ASH_T_STRING || p->at->kind == ASH_T_INTEGER || p->at->kind == ASH_T_FLOAT ||
                    ash_at_operator(p, "[") || ash_at_operator(p, "{") ||
                    (p->at->kind == ASH_T_NAME && !ash_at_name(p, "else") && !ash_at_name(p, "or") &&
                     !ash_at_name(p, "and"));
    if (ash_at_operator(p, "(")) {
        ASH_TRY(parse_args(p, *out));
    } else if (argument && ash_at_name(p, "is")) {
        return ash_parse_fail(p, ASH_E_FORMAT, line, "tests cannot be chained with 'is'");
    } else {
        ASH_TRY(no_args(p, *out));
        if (argument) {
            ash_node **items, *primary;
            ASH_TRY(ash_parse_alloc(p, sizeof *items, &items));
            ASH_TRY(parse_primary(p, false, &primary));
            ASH_TRY(parse_postfix(p, primary, &items[0]));
            (*out)->args->items = items;
            (*out)->args->count = 1;
        }
    }
    find_builtin(p, *out);
    if (negated)
        ASH_TRY(two(p, ASH_N_NOT, line, *out, NULL, out));
    return ASH_OK;
}

/* ---- operators ---- */

static ash_status parse_unary_inside(ash_parser *p, bool with_filters, ash_node **out)
{
    uint32_t line = p->at->line;
    ash_node *node;
    if (ash_skip_operator(p, "-")) {
        ASH_TRY(parse_unary(p, false, &node));
        ASH_TRY(two(p, ASH_N_NEGATE, line, node, NULL, &node));
    } else if (ash_skip_operator(p, "+")) {
        ASH_TRY(parse_unary(p, false, &node));
        ASH_TRY(two(p, ASH_N_POSITIVE, line, node, NULL, &node));
    } else {
        ASH_TRY(parse_primary(p, false, &node));
    }
    ASH_TRY(parse_postfix(p, node, out));
    while (with_filters) {
        node = *out;
        if (ash_at_operator(p, "|")) {
            ASH_TRY(ash_parse_filters(p, node, false, out));
        } else if (ash_at_name(p, "is")) {
            ASH_TRY(parse_test(p, node, out));
        } else if (ash_at_operator(p, "(")) {
            ASH_TRY(two(p, ASH_N_CALL, p->at->line, node, NULL, out));
            ASH_TRY(parse_args(p, *out));
        } else {
            break;
        }
    }
    return ASH_OK;
}

static ash_status parse_unary(ash_parser *p, bool with_filters, ash_node **out)
{
    ASH_TRY(ash_parse_enter(p));
    ASH_TRY(parse_unary_inside(p, with_filters, out));
    p->depth--;
    return ASH_OK;
}

static ash_status math(ash_parser *p, uint32_t line, ash_math how, ash_node *a, ash_node *b, ash_node **out)
{
    ASH_TRY(two(p, ASH_N_MATH, line, a, b, out));
    (*out)->how = (uint8_t)how;
    return ASH_OK;
}

static ash_status parse_product(ash_parser *p, ash_node **out)
{
    static const struct { const char *text; ash_math how; } operators[] = {
        { "*", ASH_MUL }, { "/", ASH_DIV }, { "//", ASH_FLOORDIV }, { "%", ASH_MOD },
    };
    ash_node *left = NULL, *right;
    uint32_t line = p->at->line;
    ash_math how = ASH_MUL;
    for (;;) {
        ASH_TRY(parse_unary(p, true, &right));
        while (ash_skip_operator(p, "**")) { /* binds from the left, unlike Python's */
            ash_node *exponent;
            ASH_TRY(parse_unary(p, true, &exponent));
            ASH_TRY(math(p, line, ASH_POW, right, exponent, &right));
        }
        if (left)
            ASH_TRY(math(p, line, how, left, right, &right));
        left = right;
        size_t i = 0;
        while (i < 4 && !ash_skip_operator(p, operators[i].text))
            i++;
        if (i == 4)
            break;
        how = operators[i].how;
    }
    *out = left;
    return ASH_OK;
}

static ash_status parse_concat(ash_parser *p, ash_node **out)
{
    ash_node_list items = { 0 };
    uint32_t line = p->at->line;
    ASH_TRY(parse_product(p, out));
    if (!ash_at_operator(p, "~"))
        return ASH_OK;
    ASH_TRY(ash_node_list_add(p, &items, *out));
    while (ash_skip_operator(p, "~")) {
        ASH_TRY(parse_product(p, out));
        ASH_TRY(ash_node_list_add(p, &items, *out));
    }
    ASH_TRY(ash_node_new(p, ASH_N_CONCAT, line, out));
    ash_node_take_list(*out, &items);
    return ASH_OK;
}

static ash_status parse_sum(ash_parser *p, ash_node **out)
{
    uint32_t line = p->at->line;
    ASH_TRY(parse_concat(p, out));
    while (ash_at_operator(p, "+") || ash_at_operator(p, "-")) {
        ash_math how = ash_at_operator(p, "+") ? ASH_ADD : ASH_SUB;
        ash_node *right;
        p->at++;
        ASH_TRY(parse_concat(p, &right));
        ASH_TRY(math(p, line, how, *out, right, out));
    }
    return ASH_OK;
}

static bool skip_comparison(ash_parser *p, ash_comparison *how)
{
    static const char *const operators[] = { "==", "!=", "<", "<=", ">", ">=" };
    for (int i = 0; i < 6; i++)
        if (ash_skip_operator(p, operators[i])) {
            *how = (ash_comparison)i;
            return true;
        }
    *how = ASH_IN;
    if (ash_skip_name(p, "in"))
        return true;
    *how = ASH_NOT_IN;
    if (!ash_at_name(p, "not") || p->at[1].kind != ASH_T_NAME || p->at[1].bytes != 2 || memcmp(p->at[1].text, "in", 2))
        return false;
    p->at += 2;
    return true;
}

static ash_status parse_comparison(ash_parser *p, ash_node **out)
{
    uint32_t line = p->at->line;
    ash_node_list items = { 0 };
    ash_node *first, *item;
    ash_comparison how;
    uint8_t operands[TEMPLATE_DEPTH_MAX], *copy;
    ASH_TRY(parse_sum(p, &first));
    *out = first;
    while (skip_comparison(p, &how)) {
        if (items.count == sizeof operands)
            return ash_parse_fail(p, ASH_E_LIMIT, line, "more than %zu comparisons in a row", sizeof operands);
        operands[items.count] = (uint8_t)how;
        ASH_TRY(parse_sum(p, &item));
        ASH_TRY(ash_node_list_add(p, &items, item));
    }
    if (items.count == 0)
        return ASH_OK;
    ASH_TRY(two(p, ASH_N_COMPARE, line, first, NULL, out));
    ASH_TRY(ash_parse_alloc(p, items.count, &copy));
    memcpy(copy, operands, items.count);
    (*out)->operands = copy;
    ash_node_take_list(*out, &items);
    return ASH_OK;
}

static ash_status parse_not(ash_parser *p, ash_node **out)
{
    uint32_t line = p->at->line;
    if (!ash_skip_name(p, "not"))
        return parse_comparison(p, out);
    ASH_TRY(ash_parse_enter(p));
    ASH_TRY(parse_not(p, out));
    p->depth--;
    return two(p, ASH_N_NOT, line, *out, NULL, out);
}

static ash_status parse_and(ash_parser *p, ash_node **out)
{
    uint32_t line = p->at->line;
    ASH_TRY(parse_not(p, out));
    while (ash_skip_name(p, "and")) {
        ash_node *right;
        ASH_TRY(parse_not(p, &right));
        ASH_TRY(two(p, ASH_N_AND, line, *out, right, out));
    }
    return ASH_OK;
}

static ash_status parse_or(ash_parser *p, ash_node **out)
{
    uint32_t line = p->at->line;
    ASH_TRY(parse_and(p, out));
    while (ash_skip_name(p, "or")) {
        ash_node *right;
        ASH_TRY(parse_and(p, &right));
        ASH_TRY(two(p, ASH_N_OR, line, *out, right, out));
    }
    return ASH_OK;
}

static ash_status parse_condition(ash_parser *p, ash_node **out)
{
    uint32_t line = p->at->line;
    bool soft = p->soft;
    const ash_node *unknown = p->unknown;
    ASH_TRY(parse_or(p, out));
    if (ash_at_name(p, "if")) {
        p->unknown = unknown;
        p->soft = true;
    }
    while (ash_skip_name(p, "if")) {
        ash_node *test, *otherwise = NULL, *then = *out;
        ASH_TRY(parse_or(p, &test));
        if (ash_skip_name(p, "else"))
            ASH_TRY(ash_parse_expression(p, true, &otherwise));
        ASH_TRY(two(p, ASH_N_COND, line, test, then, out));
        (*out)->c = otherwise;
    }
    p->soft = soft;
    return ASH_OK;
}

ash_status ash_parse_expression(ash_parser *p, bool with_condition, ash_node **out)
{
    ASH_TRY(ash_parse_enter(p));
    ASH_TRY(with_condition ? parse_condition(p, out) : parse_or(p, out));
    p->depth--;
    return ASH_OK;
}

static bool tuple_ends(const ash_parser *p, const char *end)
{
    return p->at->kind == ASH_T_OUTPUT_END || p->at->kind == ASH_T_BLOCK_END || ash_at_operator(p, ")") ||
           (end && ash_at_name(p, end));
}

ash_status ash_parse_tuple(ash_parser *p, bool target, bool with_condition, const char *end, bool parenthesized,
                           bool with_namespace, ash_node **out)
{
    ash_node_list items = { 0 };
    uint32_t line = p->at->line;
    bool tuple = false;
    for (;;) {
        ash_node *item;
        if (items.count)
            ASH_TRY(ash_expect_operator(p, ","));
        if (tuple_ends(p, end))
            break;
        ASH_TRY(target ? parse_primary(p, with_namespace, &item) : ash_parse_expression(p, with_condition, &item));
        ASH_TRY(ash_node_list_add(p, &items, item));
        if (!ash_at_operator(p, ","))
            break;
        tuple = true;
    }
    if (!tuple && items.count) {
        *out = items.items[0];
        return ASH_OK;
    }
    if (!tuple && !parenthesized)
        return ash_parse_unexpected(p, "an expression");
    ASH_TRY(ash_node_new(p, ASH_N_TUPLE, line, out));
    ash_node_take_list(*out, &items);
    return ASH_OK;
}

static ash_status check_target(ash_parser *p, const ash_node *node)
{
    if (node->op == ASH_N_TUPLE) {
        for (uint32_t i = 0; i < node->count; i++)
            ASH_TRY(check_target(p, node->items[i]));
        return ASH_OK;
    }
    if (node->op == ASH_N_NAME && p->all_loops && ash_string_is(node->name, "loop"))
        return ash_parse_fail(p, ASH_E_FORMAT, node->line, "a for loop cannot assign to 'loop'");
    if (node->op != ASH_N_NAME && node->op != ASH_N_NSREF)
        return ash_parse_fail(p, ASH_E_FORMAT, node->line, "cannot assign to this: give a name");
    return ASH_OK;
}

ash_status ash_parse_target(ash_parser *p, const char *end, bool with_namespace, ash_node **out)
{
    ASH_TRY(ash_parse_tuple(p, true, true, end, false, with_namespace, out));
    return check_target(p, *out);
}
