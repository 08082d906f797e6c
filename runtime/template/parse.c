/* Statements and the parser's tools: names, nodes, tokens. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/template/parse_internal.h"
#include "runtime/template/strings.h"

/* ---- tools ---- */

ash_status ash_parse_fail(ash_parser *p, ash_status status, uint32_t line, const char *format, ...)
{
    char text[ASH_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return ash_fail(p->err, status, "line %u: %s", line, text);
}

ash_status ash_parse_unexpected(ash_parser *p, const char *wanted)
{
    static const char *const names[] = { "the end of the template", "text", "{{", "}}", "{%", "%}" };
    const ash_token *t = p->at;
    if (t->kind < sizeof names / sizeof *names)
        return ash_parse_fail(p, ASH_E_FORMAT, t->line, "%s where %s is expected", names[t->kind], wanted);
    return ash_parse_fail(p, ASH_E_FORMAT, t->line, "'%.*s' where %s is expected",
                          (int)(t->bytes < 80 ? t->bytes : 80), t->text, wanted);
}

ash_status ash_parse_alloc(ash_parser *p, size_t bytes, void *out_pointer)
{
    void *block = ash_arena_take(&p->t->arena, bytes);
    *(void **)out_pointer = block;
    return block ? ASH_OK : ash_fail(p->err, ASH_E_MEMORY, "out of memory for the chat template");
}

ash_status ash_parse_enter(ash_parser *p)
{
    if (++p->depth > TEMPLATE_DEPTH_MAX)
        return ash_parse_fail(p, ASH_E_LIMIT, p->at->line, "the template nests more than %d deep", TEMPLATE_DEPTH_MAX);
    return ASH_OK;
}

ash_status ash_node_new(ash_parser *p, ash_op op, uint32_t line, ash_node **out)
{
    ASH_TRY(ash_parse_alloc(p, sizeof **out, out));
    (*out)->op = (uint8_t)op;
    (*out)->line = line;
    return ASH_OK;
}

ash_status ash_node_list_add(ash_parser *p, ash_node_list *list, ash_node *node)
{
    if (list->count == list->room) {
        uint32_t room = list->room ? 2 * list->room : 4;
        ash_node **grown;
        ASH_TRY(ash_parse_alloc(p, room * sizeof *grown, &grown));
        if (list->count)
            memcpy(grown, list->items, list->count * sizeof *grown);
        list->items = grown;
        list->room = room;
    }
    list->items[list->count++] = node;
    return ASH_OK;
}

void ash_node_take_list(ash_node *node, const ash_node_list *list)
{
    node->items = list->items;
    node->count = list->count;
}

static uint32_t hash(const char *text, size_t bytes)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

static ash_status grow_names(ash_parser *p)
{
    uint32_t slots = p->slot_count ? 2 * p->slot_count : 128;
    const ash_string **names;
    ASH_TRY(ash_parse_alloc(p, slots * sizeof *p->slots, &p->slots));
    ASH_TRY(ash_parse_alloc(p, slots / 2 * sizeof *names, &names));
    if (p->t->name_count)
        memcpy(names, p->t->names, p->t->name_count * sizeof *names);
    p->t->names = names;
    p->slot_count = slots;
    p->name_room = slots / 2;
    for (uint32_t i = 0; i < p->t->name_count; i++) {
        uint32_t slot = hash(names[i]->text, names[i]->bytes) & (slots - 1);
        while (p->slots[slot])
            slot = (slot + 1) & (slots - 1);
        p->slots[slot] = i + 1;
    }
    return ASH_OK;
}

ash_status ash_parse_intern(ash_parser *p, const char *text, size_t bytes, const ash_string **name, uint32_t *number)
{
    if (p->t->name_count == p->name_room)
        ASH_TRY(grow_names(p));
    ash_string wanted = { .text = text, .bytes = (uint32_t)bytes, .chars = UINT32_MAX };
    uint32_t slot = hash(text, bytes) & (p->slot_count - 1);
    while (p->slots[slot] && !ash_string_same(p->t->names[p->slots[slot] - 1], &wanted))
        slot = (slot + 1) & (p->slot_count - 1);
    if (!p->slots[slot]) {
        ash_string *s;
        char *copy;
        ASH_TRY(ash_parse_alloc(p, sizeof *s, &s));
        ASH_TRY(ash_parse_alloc(p, bytes + 1, &copy));
        memcpy(copy, text, bytes);
        *s = wanted;
        s->text = copy;
        ash_string_chars(s);
        p->t->names[p->t->name_count++] = s;
        p->slots[slot] = p->t->name_count;
    }
    *name = p->t->names[p->slots[slot] - 1];
    if (number)
        *number = p->slots[slot] - 1;
    return ASH_OK;
}

/* ---- tokens ---- */

static bool is(const ash_token *t, ash_token_kind kind, const char *text)
{
    return t->kind == kind && t->bytes == strlen(text) && memcmp(t->text, text, t->bytes) == 0;
}

bool ash_at_operator(const ash_parser *p, const char *text) { return is(p->at, ASH_T_OPERATOR, text); }
bool ash_at_name(const ash_parser *p, const char *text) { return is(p->at, ASH_T_NAME, text); }

bool ash_skip_operator(ash_parser *p, const char *text)
{
    bool found = ash_at_operator(p, text);
    p->at += found;
    return found;
}

bool ash_skip_name(ash_parser *p, const char *text)
{
    bool found = ash_at_name(p, text);
    p->at += found;
    return found;
}

ash_status ash_expect_operator(ash_parser *p, const char *text)
{
    char wanted[8];
    snprintf(wanted, sizeof wanted, "'%s'", text);
    return ash_skip_operator(p, text) ? ASH_OK : ash_parse_unexpected(p, wanted);
}

ash_status ash_expect_name(ash_parser *p, const ash_token **out)
{
    *out = p->at;
    if (p->at->kind != ASH_T_NAME)
        return ash_parse_unexpected(p, "a name");
    p->at++;
    return ASH_OK;
}

static ash_status expect_word(ash_parser *p, const char *word)
{
    return ash_skip_name(p, word) ? ASH_OK : ash_parse_unexpected(p, word);
}

static ash_status expect_block_end(ash_parser *p)
{
    if (p->at->kind != ASH_T_BLOCK_END)
        return ash_parse_unexpected(p, "'%}'");
    p->at++;
    return ASH_OK;
}

/* ---- bodies ---- */

static ash_status parse_statement(ash_parser *p, ash_node **out);

static ash_status check_unknown(ash_parser *p)
{
    const ash_node *node = p->unknown;
    if (!node)
        return ASH_OK;
    return ash_parse_fail(p, ASH_E_UNSUPPORTED, node->line, "no %s named '%.*s'",
                          node->op == ASH_N_FILTER ? "filter" : "test",
                          (int)(node->name->bytes < 80 ? node->name->bytes : 80), node->name->text);
}

/* Up to a tag whose name is one of `ends` (a NULL ends the list); it is next afterwards. Without `ends`: to the end. */
static ash_status parse_body(ash_parser *p, const char *const *ends, ash_node **out)
{
    ash_node_list items = { 0 };
    ASH_TRY(ash_node_new(p, ASH_N_BODY, p->at->line, out));
    ASH_TRY(ash_parse_enter(p));
    for (;;) {
        const ash_token *token = p->at;
        ash_node *node;
        if (token->kind == ASH_T_END) {
            if (ends)
                return ash_parse_unexpected(p, ends[0]);
            break;
        }
        p->at++;
        if (token->kind == ASH_T_DATA) {
            ash_string *s;
            ASH_TRY(ash_parse_alloc(p, sizeof *s, &s));
            *s = (ash_string){ .text = token->text, .bytes = (uint32_t)token->bytes, .chars = UINT32_MAX };
            ASH_TRY(ash_node_new(p, ASH_N_CONST, token->line, &node));
            node->value = ash_str(s);
        } else if (token->kind == ASH_T_OUTPUT_BEGIN) {
            ASH_TRY(ash_parse_tuple(p, false, true, NULL, false, false, &node));
            if (p->at->kind != ASH_T_OUTPUT_END)
                return ash_parse_unexpected(p, "'}}'");
            p->at++;
        } else {
            for (const char *const *end = ends; end && *end; end++)
                if (ash_at_name(p, *end)) {
                    p->depth--;
                    ash_node_take_list(*out, &items);
                    return ASH_OK;
                }
            ASH_TRY(parse_statement(p, &node));
            ASH_TRY(expect_block_end(p));
            ASH_TRY(ash_node_list_add(p, &items, node));
            ASH_TRY(check_unknown(p));
            continue;
        }
        ash_node *output;
        ASH_TRY(ash_node_new(p, ASH_N_OUTPUT, token->line, &output));
        output->a = node;
        ASH_TRY(ash_node_list_add(p, &items, output));
        ASH_TRY(check_unknown(p));
    }
    p->depth--;
    ash_node_take_list(*out, &items);
    return ASH_OK;
}

/* From behind a tag's head: "%}", the body; the ending tag's name is next afterwards. */
static ash_status parse_block(ash_parser *p, const char *const *ends, ash_node **out)
{
    ash_skip_operator(p, ":");
    ASH_TRY(expect_block_end(p));
    return parse_body(p, ends, out);
}

static ash_status parse_block_to(ash_parser *p, const char *end, ash_node **out)
{
    const char *const ends[] = { end, NULL };
    ASH_TRY(parse_block(p, ends, out));
    p->at++;
    return ASH_OK;
}

/* ---- statements; the tag's name is taken already ---- */

static ash_status parse_if(ash_parser *p, ash_node *first)
{
    static const char *const ends[] = { "endif", "elif", "else", NULL };
    bool soft = p->soft;
    p->soft = true;
    for (ash_node *node = first;;) {
        ASH_TRY(ash_parse_tuple(p, false, false, NULL, false, false, &node->a));
        ASH_TRY(parse_block(p, ends, &node->b));
        if (ash_skip_name(p, "elif")) {
            ASH_TRY(ash_node_new(p, ASH_N_IF, p->at->line, &node->c));
            node = node->c;
            continue;
        }
        if (ash_skip_name(p, "else"))
            ASH_TRY(parse_block_to(p, "endif", &node->c));
        else
            p->at++;
        p->soft = soft;
        return ASH_OK;
    }
}

static ash_status parse_for(ash_parser *p, ash_node *node)
{
    static const char *const ends[] = { "endfor", "else", NULL };
    bool soft = p->soft;
    p->soft = false;
    p->loops++;
    p->all_loops++;
    ASH_TRY(ash_parse_target(p, "in", false, &node->a));
    ASH_TRY(expect_word(p, "in"));
    ASH_TRY(ash_parse_tuple(p, false, false, "recursive", false, false, &node->b));
    if (ash_skip_name(p, "if"))
        ASH_TRY(ash_parse_expression(p, true, &node->loop.test));
    node->loop.recursive = ash_skip_name(p, "recursive");
    uint32_t closures = p->closures;
    ASH_TRY(parse_block(p, ends, &node->c));
    node->loop.keeps_scopes = p->closures != closures;
    p->closures += node->loop.recursive;
    p->loops--;
    if (ash_skip_name(p, "else"))
        ASH_TRY(parse_block_to(p, "endfor", &node->loop.otherwise));
    else
        p->at++;
    p->all_loops--;
    p->soft = soft;
    return ASH_OK;
}

static ash_status parse_set(ash_parser *p, ash_node *node)
{
    ASH_TRY(ash_parse_target(p, NULL, true, &node->a));
    if (ash_skip_operator(p, "=")) {
        ASH_TRY(ash_parse_tuple(p, false, true, NULL, false, false, &node->b));
        return ASH_OK;
    }
    node->op = ASH_N_SET_BLOCK;
    ASH_TRY(ash_parse_filters(p, NULL, false, &node->c));
    ASH_TRY(parse_block_to(p, "endset", &node->b));
    return ASH_OK;
}

static ash_status parse_with(ash_parser *p, ash_node *node)
{
    ash_node_list items = { 0 };
    while (p->at->kind != ASH_T_BLOCK_END) {
        ash_node *target, *value;
        if (items.count)
            ASH_TRY(ash_expect_operator(p, ","));
        ASH_TRY(ash_parse_target(p, NULL, false, &target));
        ASH_TRY(ash_expect_operator(p, "="));
        ASH_TRY(ash_parse_expression(p, true, &value));
        ASH_TRY(ash_node_list_add(p, &items, target));
        ASH_TRY(ash_node_list_add(p, &items, value));
    }
    ASH_TRY(parse_block_to(p, "endwith", &node->b));
    ash_node_take_list(node, &items);
    return ASH_OK;
}

static ash_status parse_parameters(ash_parser *p, ash_node *node)
{
    ash_node_list items = { 0 }, defaults = { 0 };
    ASH_TRY(ash_expect_operator(p, "("));
    while (!ash_at_operator(p, ")")) {
        const ash_token *token;
        ash_node *name, *value;
        if (items.count)
            ASH_TRY(ash_expect_operator(p, ","));
        ASH_TRY(ash_expect_name(p, &token));
        ASH_TRY(ash_node_new(p, ASH_N_NAME, token->line, &name));
        ASH_TRY(ash_parse_intern(p, token->text, token->bytes, &name->name, &name->number));
        for (uint32_t i = 0; i < items.count; i++)
            if (items.items[i]->number == name->number)
                return ash_parse_fail(p, ASH_E_FORMAT, token->line, "a parameter is named twice");
        if (ash_skip_operator(p, "=")) {
            ASH_TRY(ash_parse_expression(p, true, &value));
            ASH_TRY(ash_node_list_add(p, &defaults, value));
        } else if (defaults.count) {
            return ash_parse_fail(p, ASH_E_FORMAT, token->line, "a parameter without default after one that has it");
        }
        ASH_TRY(ash_node_list_add(p, &items, name));
    }
    p->at++;
    node->macro.defaults = defaults.items;
    node->macro.default_count = defaults.count;
    ash_node_take_list(node, &items);
    return ASH_OK;
}

/* A body with parameters: what it names decides whether it takes caller, varargs and kwargs. */
static ash_status parse_macro_body(ash_parser *p, ash_node *node, const char *end)
{
    struct ash_macro_names names = { .up = p->macro };
    p->closures++;
    uint32_t loops = p->loops;
    bool soft = p->soft;
    p->macro = &names;
    p->loops = 0;
    p->soft = false;
    ASH_TRY(parse_block_to(p, end, &node->b));
    p->macro = names.up;
    p->loops = loops;
    p->soft = soft;
    node->macro.uses_caller = names.caller;
    node->macro.uses_varargs = names.varargs;
    node->macro.uses_kwargs = names.kwargs;
    for (uint32_t i = 0; i < node->count; i++) {
        const ash_string *name = node->items[i]->name;
        bool given = i + node->macro.default_count >= node->count;
        if (ash_string_is(name, "caller") && names.caller && !given)
            return ash_parse_fail(p, ASH_E_FORMAT, node->line, "a parameter 'caller' needs a default");
        if (ash_string_is(name, "caller"))
            node->macro.uses_caller = false;
        if (ash_string_is(name, "varargs"))
            node->macro.uses_varargs = false;
        if (ash_string_is(name, "kwargs"))
            node->macro.uses_kwargs = false;
    }
    return ASH_OK;
}

static ash_status parse_macro(ash_parser *p, ash_node *node)
{
    const ash_token *name;
    ASH_TRY(ash_expect_name(p, &name));
    ASH_TRY(ash_parse_intern(p, name->text, name->bytes, &node->name, &node->number));
    ASH_TRY(parse_parameters(p, node));
    return parse_macro_body(p, node, "endmacro");
}

static ash_status parse_call(ash_parser *p, ash_node *node)
{
    ASH_TRY(ash_node_new(p, ASH_N_MACRO, node->line, &node->c));
    if (ash_at_operator(p, "("))
        ASH_TRY(parse_parameters(p, node->c));
    ASH_TRY(ash_parse_expression(p, true, &node->a));
    if (node->a->op != ASH_N_CALL)
        return ash_parse_fail(p, ASH_E_FORMAT, node->line, "a call block needs a call");
    ASH_TRY(parse_macro_body(p, node->c, "endcall"));
    return ASH_OK;
}

static ash_status parse_filter(ash_parser *p, ash_node *node)
{
    ASH_TRY(ash_parse_filters(p, NULL, true, &node->c));
    ASH_TRY(parse_block_to(p, "endfilter", &node->b));
    return ASH_OK;
}

static ash_status parse_print(ash_parser *p, ash_node *node)
{
    ash_node_list items = { 0 };
    while (p->at->kind != ASH_T_BLOCK_END) {
        ash_node *value, *output;
        if (items.count)
            ASH_TRY(ash_expect_operator(p, ","));
        ASH_TRY(ash_parse_expression(p, true, &value));
        ASH_TRY(ash_node_new(p, ASH_N_OUTPUT, node->line, &output));
        output->a = value;
        ASH_TRY(ash_node_list_add(p, &items, output));
    }
    ash_node_take_list(node, &items);
    return ASH_OK;
}

static ash_status parse_generation(ash_parser *p, ash_node *node)
{
    uint32_t loops = p->loops;
    p->loops = 0; /* a call block to Jinja: no loop goes on across its edge */
    ASH_TRY(parse_block_to(p, "endgeneration", &node->b));
    p->loops = loops;
    return ASH_OK;
}

static ash_status parse_loop_control(ash_parser *p, ash_node *node)
{
    if (p->loops == 0)
        return ash_parse_fail(p, ASH_E_FORMAT, node->line, "'%s' outside of a for loop",
                              node->op == ASH_N_BREAK ? "break" : "continue");
    return ASH_OK;
}

static ash_status parse_statement(ash_parser *p, ash_node **out)
{
    static const struct {
        const char *name;
        ash_op op;
        ash_status (*parse)(ash_parser *p, ash_node *node);
    } tags[] = {
        { "if", ASH_N_IF, parse_if },
        { "for", ASH_N_FOR, parse_for },
        { "set", ASH_N_SET, parse_set },
        { "macro", ASH_N_MACRO, parse_macro },
        { "call", ASH_N_CALL_BLOCK, parse_call },
        { "filter", ASH_N_FILTER_BLOCK, parse_filter },
        { "with", ASH_N_WITH, parse_with },
        { "print", ASH_N_BODY, parse_print },
        { "generation", ASH_N_SCOPE, parse_generation },
        { "break", ASH_N_BREAK, parse_loop_control },
        { "continue", ASH_N_CONTINUE, parse_loop_control },
    };
    static const char *const absent[] = { "include", "import", "from", "extends", "block", "autoescape", "do" };
    const ash_token *name;
    ASH_TRY(ash_expect_name(p, &name));
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (is(name, ASH_T_NAME, absent[i]))
            return ash_parse_fail(p, ASH_E_UNSUPPORTED, name->line, "the tag '%s' is not for chat templates",
                                  absent[i]);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (is(name, ASH_T_NAME, tags[i].name)) {
            ASH_TRY(ash_node_new(p, tags[i].op, name->line, out));
            return tags[i].parse(p, *out);
        }
    return ash_parse_fail(p, ASH_E_FORMAT, name->line, "unexpected tag '%.*s'",
                          (int)(name->bytes < 80 ? name->bytes : 80), name->text);
}

ash_status ash_template_parse(ash_template *t, const ash_token *tokens, ash_error *err)
{
    static const char *const fixed[] = { "loop", "caller", "varargs", "kwargs" };
    ash_parser p = { .t = t, .at = tokens, .err = err };
    const ash_string *name;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        ASH_TRY(ash_parse_intern(&p, fixed[i], strlen(fixed[i]), &name, NULL));
    return parse_body(&p, NULL, &t->body);
}
