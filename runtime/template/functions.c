/* What a template finds without being given it: range, dict, namespace, cycler, joiner, raise_exception, strftime_now;
 * and the attributes of loop and of cycler. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/template/call.h"
#include "runtime/template/strings.h"

static ash_status f_range(ash_run *r, const ash_call *c, ash_value *out)
{
    int64_t first, second, step;
    ASH_TRY(ash_arg_int(r, c->at[0], "range", 0, &first));
    ASH_TRY(ash_arg_int(r, c->at[1], "range", 0, &second));
    ASH_TRY(ash_arg_int(r, c->at[2], "range", 1, &step));
    if (step == 0)
        return ash_run_fail(r, ASH_E_FORMAT, "range: the step cannot be 0");
    int64_t start = ash_arg_given(c->at[1]) ? first : 0, stop = ash_arg_given(c->at[1]) ? second : first;
    uint64_t width = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    uint64_t count = (step > 0 ? stop <= start : stop >= start) ? 0 : (width - 1) / stride + 1;
    if (count > TEMPLATE_RANGE_MAX)
        return ash_run_fail(r, ASH_E_LIMIT, "range of more than %d numbers", TEMPLATE_RANGE_MAX);
    ash_range *range;
    ASH_TRY(ash_run_alloc(r, sizeof *range, &range));
    *range = (ash_range){ .start = start, .stop = stop, .step = step, .count = (int64_t)count };
    *out = (ash_value){ .kind = ASH_V_RANGE, .range = range };
    return ASH_OK;
}

/* dict(): pairs of the argument, then the named ones. */
static ash_status f_dict(ash_run *r, const ash_call *c, ash_value *out)
{
    const ash_args *a = c->args;
    ash_value *items;
    uint32_t count;
    if (a->count > 1)
        return ash_run_fail(r, ASH_E_FORMAT, "dict takes at most one argument");
    ASH_TRY(ash_dict_new(r, a->key_count, out));
    if (a->count && (a->items[0].kind == ASH_V_DICT)) {
        const ash_dict *d = a->items[0].dict;
        for (uint32_t i = 0; i < d->count; i++)
            ASH_TRY(ash_dict_set(r, out->dict, d->pairs[i].key, d->pairs[i].value));
    } else if (a->count) {
        ASH_TRY(ash_iterate(r, a->items[0], &items, &count));
        for (uint32_t i = 0; i < count; i++) {
            ash_value *pair;
            uint32_t two;
            ASH_TRY(ash_iterate(r, items[i], &pair, &two));
            if (two != 2)
                return ash_run_fail(r, ASH_E_FORMAT, "dict needs pairs");
            ASH_TRY(ash_dict_set(r, out->dict, pair[0], pair[1]));
        }
    }
    for (uint32_t i = 0; i < a->key_count; i++)
        ASH_TRY(ash_dict_set(r, out->dict, ash_str(a->keys[i]), a->values[i]));
    return ASH_OK;
}

static ash_status f_namespace(ash_run *r, const ash_call *c, ash_value *out)
{
    ASH_TRY(f_dict(r, c, out));
    out->kind = ASH_V_NAMESPACE;
    return ASH_OK;
}

static ash_status f_cycler(ash_run *r, const ash_call *c, ash_value *out)
{
    ash_cycler *cycler;
    if (c->args->count == 0 || c->args->key_count)
        return ash_run_fail(r, ASH_E_FORMAT, "cycler needs values");
    ASH_TRY(ash_run_alloc(r, sizeof *cycler, &cycler));
    ASH_TRY(ash_run_alloc(r, c->args->count * sizeof(ash_value), &cycler->items));
    memcpy(cycler->items, c->args->items, c->args->count * sizeof(ash_value));
    cycler->count = c->args->count;
    *out = (ash_value){ .kind = ASH_V_CYCLER, .cycler = cycler };
    return ASH_OK;
}

static ash_status f_joiner(ash_run *r, const ash_call *c, ash_value *out)
{
    static const ash_string comma = ASH_LITERAL(", ");
    ash_joiner *joiner;
    ASH_TRY(ash_run_alloc(r, sizeof *joiner, &joiner));
    ASH_TRY(ash_arg_string(r, c->at[0], "joiner", &joiner->separator));
    joiner->separator = joiner->separator ? joiner->separator : &comma;
    *out = (ash_value){ .kind = ASH_V_JOINER, .joiner = joiner };
    return ASH_OK;
}

static ash_status f_raise_exception(ash_run *r, const ash_call *c, ash_value *out)
{
    const ash_string *s;
    (void)out;
    ASH_TRY(ash_to_string(r, c->at[0], &s));
    int bytes = s->bytes < ASH_ERROR_MAX ? (int)s->bytes : ASH_ERROR_MAX;
    return ash_fail(r->err, ASH_E_ARGUMENT, "%.*s", bytes, s->text);
}

/* English names, whatever the locale. `bare`: numbers without what pads them. */
static ash_status put_time(ash_run *r, ash_builder *b, const struct tm *t, bool bare, char letter)
{
    static const char *const days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
    static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August",
                                          "September", "October", "November", "December" };
    char text[64];
    const char *day = days[t->tm_wday], *month = months[t->tm_mon];
    int hour = t->tm_hour % 12 ? t->tm_hour % 12 : 12;
    const char *half = t->tm_hour < 12 ? "AM" : "PM";
    int n = 0;
    switch (letter) {
    case 'a': n = snprintf(text, sizeof text, "%.3s", day); break;
    case 'A': n = snprintf(text, sizeof text, "%s", day); break;
    case 'b': case 'h': n = snprintf(text, sizeof text, "%.3s", month); break;
    case 'B': n = snprintf(text, sizeof text, "%s", month); break;
    case 'c':
        n = snprintf(text, sizeof text, "%.3s %.3s %2d %02d:%02d:%02d %d", day, month, t->tm_mday, t->tm_hour,
                     t->tm_min, t->tm_sec, t->tm_year + 1900);
        break;
    case 'd': n = snprintf(text, sizeof text, "%02d", t->tm_mday); break;
    case 'e': n = snprintf(text, sizeof text, "%2d", t->tm_mday); break;
    case 'D': case 'x':
        n = snprintf(text, sizeof text, "%02d/%02d/%02d", t->tm_mon + 1, t->tm_mday, (t->tm_year + 1900) % 100);
        break;
    case 'f': n = snprintf(text, sizeof text, "000000"); break;
    case 'F': n = snprintf(text, sizeof text, "%d-%02d-%02d", t->tm_year + 1900, t->tm_mon + 1, t->tm_mday); break;
    case 'H': n = snprintf(text, sizeof text, "%02d", t->tm_hour); break;
    case 'I': n = snprintf(text, sizeof text, "%02d", hour); break;
    case 'j': n = snprintf(text, sizeof text, "%03d", t->tm_yday + 1); break;
    case 'm': n = snprintf(text, sizeof text, "%02d", t->tm_mon + 1); break;
    case 'M': n = snprintf(text, sizeof text, "%02d", t->tm_min); break;
    case 'n': n = snprintf(text, sizeof text, "\n"); break;
    case 'p': n = snprintf(text, sizeof text, "%s", half); break;
    case 'R': n = snprintf(text, sizeof text, "%02d:%02d", t->tm_hour, t->tm_min); break;
    case 'S': n = snprintf(text, sizeof text, "%02d", t->tm_sec); break;
    case 't': n = snprintf(text, sizeof text, "\t"); break;
    case 'T': case 'X': n = snprintf(text, sizeof text, "%02d:%02d:%02d", t->tm_hour, t->tm_min, t->tm_sec); break;
    case 'u': n = snprintf(text, sizeof text, "%d", t->tm_wday ? t->tm_wday : 7); break;
    case 'w': n = snprintf(text, sizeof text, "%d", t->tm_wday); break;
    case 'y': n = snprintf(text, sizeof text, "%02d", (t->tm_year + 1900) % 100); break;
    case 'Y': n = snprintf(text, sizeof text, "%d", t->tm_year + 1900); break;
    case 'z': case 'Z': break; /* the time has no zone */
    case '%': n = snprintf(text, sizeof text, "%%"); break;
    default: return ash_run_fail(r, ASH_E_UNSUPPORTED, "strftime_now does not know %%%c", letter);
    }
    int skip = 0;
    while (bare && skip + 1 < n && (text[skip] == '0' || text[skip] == ' '))
        skip++;
    return ash_build(r, b, text + skip, (size_t)(n - skip), false);
}

static ash_status f_strftime_now(ash_run *r, const ash_call *c, ash_value *out)
{
    const ash_string *f;
    ash_builder *b;
    time_t now = (time_t)r->input->now;
    struct tm t;
    ASH_TRY(ash_arg_string(r, c->at[0], "strftime_now", &f));
    if (!f)
        return ASH_WRONG_TYPE(r, "strftime_now", c->at[0]);
    if (!gmtime_r(&now, &t) || t.tm_year > 8099 || t.tm_year < -899)
        return ash_run_fail(r, ASH_E_ARGUMENT, "strftime_now: the time is outside the years 1001 to 9999");
    ASH_TRY(ash_builder_new(r, (size_t)f->bytes + 32, &b));
    for (size_t i = 0; i < f->bytes; i++) {
        bool place = f->text[i] == '%' && i + 1 < f->bytes, bare = place && f->text[i + 1] == '-' && i + 2 < f->bytes;
        i += (size_t)place + bare;
        ASH_TRY(place ? put_time(r, b, &t, bare, f->text[i]) : ash_build_part(r, b, f, i, 1));
    }
    ash_builder_blend(b);
    return ash_builder_value(r, b, out);
}

static const ash_builtin functions[] = {
    { "range", f_range, "start,stop,step", 1, false },
    { "dict", f_dict, NULL, 0, false },
    { "namespace", f_namespace, NULL, 0, false },
    { "cycler", f_cycler, NULL, 0, false },
    { "joiner", f_joiner, "sep", 0, false },
    { "raise_exception", f_raise_exception, "message", 1, false },
    { "strftime_now", f_strftime_now, "format", 1, false },
    { 0 },
};

const ash_builtin *ash_find_function(const ash_string *name) { return ash_find_builtin(functions, name); }

/* ---- loop ---- */

static ash_status loop_cycle(ash_run *r, const ash_call *c, ash_value *out)
{
    if (c->args->count == 0)
        return ash_run_fail(r, ASH_E_FORMAT, "loop.cycle needs values");
    *out = c->args->items[c->self.loop->index % c->args->count];
    return ASH_OK;
}

static ash_status loop_changed(ash_run *r, const ash_call *c, ash_value *out)
{
    ash_loop *loop = c->self.loop;
    ash_value now;
    bool same = false;
    ASH_TRY(ash_list_new(r, ASH_V_TUPLE, c->args->count, &now));
    if (c->args->count)
        memcpy(now.list->items, c->args->items, c->args->count * sizeof(ash_value));
    if (loop->changed.kind != ASH_V_MISSING)
        ASH_TRY(ash_equal(r, loop->changed, now, &same));
    loop->changed = now;
    *out = ash_bool(!same);
    return ASH_OK;
}

static const ash_builtin loop_methods[] = {
    { "cycle", loop_cycle, NULL, 0, false }, { "changed", loop_changed, NULL, 0, false }, { 0 },
};

ash_status ash_loop_attribute(ash_run *r, ash_loop *loop, const ash_string *name, ash_value *out)
{
    static const ash_string no_previous = ASH_LITERAL("there is no previous item");
    static const ash_string no_next = ASH_LITERAL("there is no next item");
    const ash_builtin *builtin = ash_find_builtin(loop_methods, name);
    *out = (ash_value){ 0 };
    if (builtin) {
        ash_method *method;
        ASH_TRY(ash_run_alloc(r, sizeof *method, &method));
        *method = (ash_method){ .self = { .kind = ASH_V_LOOP, .loop = loop }, .builtin = builtin };
        *out = (ash_value){ .kind = ASH_V_METHOD, .method = method };
        return ASH_OK;
    }
    if (ash_string_is(name, "index"))
        *out = ash_int((int64_t)loop->index + 1);
    else if (ash_string_is(name, "index0"))
        *out = ash_int(loop->index);
    else if (ash_string_is(name, "first"))
        *out = ash_bool(loop->index == 0);
    else if (ash_string_is(name, "last"))
        *out = ash_bool(loop->index + 1 == loop->count);
    else if (ash_string_is(name, "length"))
        *out = ash_int(loop->count);
    else if (ash_string_is(name, "revindex"))
        *out = ash_int((int64_t)loop->count - loop->index);
    else if (ash_string_is(name, "revindex0"))
        *out = ash_int((int64_t)loop->count - loop->index - 1);
    else if (ash_string_is(name, "depth"))
        *out = ash_int(loop->depth);
    else if (ash_string_is(name, "depth0"))
        *out = ash_int((int64_t)loop->depth - 1);
    else if (ash_string_is(name, "previtem"))
        *out = loop->index ? loop->items[loop->index - 1] : ash_undefined(ASH_WHY_TEXT, ASH_V_LOOP, &no_previous);
    else if (ash_string_is(name, "nextitem"))
        *out = loop->index + 1 < loop->count ? loop->items[loop->index + 1] :
                                               ash_undefined(ASH_WHY_TEXT, ASH_V_LOOP, &no_next);
    return ASH_OK;
}
