/* Instructions from the text of LLVM's disassembler to the interpreter's form. Every word of the text must be
 * understood: an unknown one is an error that shows the line. */
#include <ctype.h>
#include <llvm-c/Disassembler.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/halffloat.h"
#include "tests/gfx12/machine.h"

#define TEXT_MAX 256

typedef struct parser {
    const char *at;
    const char *line;
    gfx_error *err;
} parser;

static bool refuse(parser *p, const char *what)
{
    snprintf(p->err->text, sizeof p->err->text, "%s in \"%s\" at \"%.40s\"", what, p->line, p->at);
    return false;
}

static void blanks(parser *p)
{
    while (*p->at == ' ' || *p->at == '\t')
        p->at++;
}

static bool take(parser *p, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(p->at, word, n) != 0)
        return false;
    p->at += n;
    return true;
}

static bool number(parser *p, long long *out)
{
    char *end;
    *out = strtoll(p->at, &end, 0);
    if (end == p->at)
        return false;
    p->at = end;
    return true;
}

/* ---- operands ---- */

static const struct { const char *name; uint16_t index; } named[] = {
    { "vcc_lo", GFX_VCC }, { "vcc_hi", GFX_VCC + 1 }, { "exec_lo", GFX_EXEC }, { "exec_hi", GFX_EXEC + 1 },
    { "null", GFX_NULL }, { "m0", GFX_M0 }, { "vcc", GFX_VCC }, { "exec", GFX_EXEC }, /* as pairs */
};

static bool word_ends(const char *at) { return !isalnum((unsigned char)*at) && *at != '_'; }

/* After 'v', 's' or "ttmp": "12" or "[4:7]". */
static bool registers(parser *p, gfx_operand *o, uint8_t kind, unsigned base, unsigned limit)
{
    long long first, last;
    bool range = take(p, "[");
    if (!number(p, &first))
        return refuse(p, "a register without a number");
    last = first;
    if (range && (!take(p, ":") || !number(p, &last) || !take(p, "]")))
        return refuse(p, "an unclosed range of registers");
    if (first < 0 || last < first || last - first >= 16 || last >= limit)
        return refuse(p, "a register out of range");
    if (*p->at == '.')
        return refuse(p, "half of a register");
    *o = (gfx_operand){ .kind = kind, .count = (uint8_t)(last - first + 1), .index = (uint16_t)(base + first),
                        .neg = o->neg, .abs = o->abs };
    return true;
}

/* A number: an integer, or a float where it has a point or an exponent. */
static bool constant(parser *p, gfx_operand *o)
{
    const char *from = p->at;
    bool hex = strncmp(from, "0x", 2) == 0 || strncmp(from, "-0x", 3) == 0, real = false;
    for (const char *c = from; !hex && (isalnum((unsigned char)*c) || strchr("+-.", *c)) && *c; c++)
        real |= *c == '.';
    o->count = 1;
    if (real) {
        char *end;
        float value = strtof(from, &end);
        memcpy(&o->bits, &value, sizeof value);
        o->kind = GFX_FLOAT;
        p->at = end;
        return true;
    }
    long long value;
    if (!number(p, &value) || value < INT32_MIN || value > UINT32_MAX)
        return refuse(p, "an operand that is not known");
    o->kind = GFX_INT;
    o->bits = (uint32_t)value;
    return true;
}

static bool operand(parser *p, gfx_operand *o)
{
    *o = (gfx_operand){ 0 };
    if (*p->at == '-' && !isdigit((unsigned char)p->at[1])) {
        o->neg = true;
        p->at++;
    }
    o->abs = take(p, "|");
    bool fine;
    if (take(p, "off")) {
        o->kind = GFX_OFF;
        fine = true;
    } else if (*p->at == 'v' && (isdigit((unsigned char)p->at[1]) || p->at[1] == '[')) {
        p->at++;
        fine = registers(p, o, GFX_VGPR, 0, GFX_VGPRS);
    } else if (*p->at == 's' && (isdigit((unsigned char)p->at[1]) || p->at[1] == '[')) {
        p->at++;
        fine = registers(p, o, GFX_SGPR, 0, GFX_VCC);
    } else if (take(p, "ttmp")) {
        fine = registers(p, o, GFX_SGPR, GFX_TTMP, 16);
    } else if (take(p, "src_scc")) {
        o->kind = GFX_SCC;
        fine = true;
    } else {
        fine = false;
        for (size_t i = 0; i < sizeof named / sizeof *named && !fine; i++) {
            size_t n = strlen(named[i].name);
            if (strncmp(p->at, named[i].name, n) == 0 && word_ends(p->at + n)) {
                o->kind = GFX_SGPR;
                o->index = named[i].index;
                o->count = strcmp(named[i].name, "vcc") == 0 || strcmp(named[i].name, "exec") == 0 ? 2 : 1;
                p->at += n;
                fine = true;
            }
        }
        fine = fine || constant(p, o);
    }
    if (fine && o->abs && !take(p, "|"))
        return refuse(p, "an unclosed magnitude");
    return fine;
}

/* ---- modifiers ---- */

/* "[1,0,0]" as bits, the first the lowest. */
static bool bit_list(parser *p, uint8_t *out)
{
    if (!take(p, "["))
        return refuse(p, "a modifier without its list");
    *out = 0;
    for (int i = 0; i < 8; i++) {
        long long bit;
        if (!number(p, &bit) || bit < 0 || bit > 1)
            return refuse(p, "a modifier's list with something else than 0 and 1");
        *out |= (uint8_t)(bit << i);
        if (take(p, "]"))
            return true;
        if (!take(p, ","))
            break;
    }
    return refuse(p, "an unclosed list");
}

static bool lane_list(parser *p, int count, uint8_t *from)
{
    if (!take(p, "["))
        return refuse(p, "a permutation without its list");
    long long lane[8];
    for (int i = 0; i < count; i++)
        if (!number(p, &lane[i]) || lane[i] < 0 || lane[i] >= count || !take(p, i + 1 < count ? "," : "]"))
            return refuse(p, "a permutation's list");
    for (int l = 0; l < GFX_LANES; l++)
        from[l] = (uint8_t)(l / count * count + lane[l % count]);
    return true;
}

/* row_NAME:n moves within rows of 16 lanes. */
static bool dpp_rows(parser *p, gfx_dpp *d, bool *found)
{
    static const char *const names[] = { "row_shl:", "row_shr:", "row_ror:", "row_share:", "row_xmask:" };
    *found = true;
    d->on = true;
    if (take(p, "quad_perm:"))
        return lane_list(p, 4, d->from);
    if (take(p, "dpp8:"))
        return lane_list(p, 8, d->from);
    bool half = take(p, "row_half_mirror");
    if (half || take(p, "row_mirror")) {
        for (int l = 0; l < GFX_LANES; l++)
            d->from[l] = (uint8_t)(l ^ (half ? 7 : 15));
        return true;
    }
    for (int k = 0; k < 5; k++) {
        if (!take(p, names[k]))
            continue;
        long long n;
        if (!number(p, &n) || n < 0 || n > 15)
            return refuse(p, "a row's shift");
        for (int l = 0; l < GFX_LANES; l++) {
            int row = l & 16, i = l & 15, m = (int)n;
            int from = k == 0 ? i + m : k == 1 ? i - m : k == 2 ? ((i - m) & 15) : k == 3 ? m : i ^ m;
            d->from[l] = (uint8_t)(from >= 0 && from < 16 ? row + from : GFX_LANES);
        }
        return true;
    }
    d->on = *found = false;
    return true;
}

static bool dpp_mask(parser *p, gfx_dpp *d, bool rows)
{
    long long mask;
    if (!number(p, &mask) || mask < 0 || mask > 15)
        return refuse(p, "a mask of rows or banks");
    for (int l = 0; l < GFX_LANES; l++)
        if (!(mask >> (rows ? l / 16 : l % 16 / 4) & 1))
            d->write &= ~(UINT32_C(1) << l);
    return true;
}

static bool modifier(parser *p, gfx_insn *i)
{
    long long n;
    bool found;
    if (take(p, "offset:swizzle(")) { /* the encoding's own bits say the same (gfx_decode) */
        while (*p->at && *p->at++ != ')')
            ;
        return true;
    }
    if (take(p, "offset0:") || take(p, "offset1:")) {
        uint8_t *out = p->at[-2] == '0' ? &i->offset0 : &i->offset1;
        if (!number(p, &n) || n < 0 || n > 255)
            return refuse(p, "an offset");
        *out = (uint8_t)n;
        return true;
    }
    if (take(p, "offset:")) {
        if (!number(p, &n) || n < -(1 << 23) || n >= 1 << 23)
            return refuse(p, "an offset");
        i->offset = (int32_t)n;
        return true;
    }
    unsigned flags = i->op->flags;
    bool signs = (flags & GFX_NEG_LISTS) || i->op->class == GFX_MATRIX;
    bool halves = (flags & (GFX_PACKED | GFX_OP_SEL)) || (i->op->lanes && i->op->param != 0);
    if (signs && take(p, "neg_lo:"))
        return bit_list(p, &i->neg_lo);
    if (signs && take(p, "neg_hi:"))
        return bit_list(p, &i->neg_hi);
    if ((flags & GFX_PACKED) && take(p, "op_sel_hi:"))
        return bit_list(p, &i->op_sel_hi);
    if (halves && take(p, "op_sel:"))
        return bit_list(p, &i->op_sel);
    if ((flags & GFX_BYTE_SEL) && take(p, "byte_sel:")) {
        if (!number(p, &n) || n < 0 || n > 3)
            return refuse(p, "a byte's number");
        i->byte_sel = (uint8_t)n;
        return true;
    }
    if (take(p, "clamp"))
        return (i->clamp = true);
    if (take(p, "mul:2")) {
        i->omod = 1;
        return true;
    }
    if (take(p, "mul:4")) {
        i->omod = 2;
        return true;
    }
    if (take(p, "div:2")) {
        i->omod = 3;
        return true;
    }
    if (take(p, "row_mask:"))
        return dpp_mask(p, &i->dpp, true);
    if (take(p, "bank_mask:"))
        return dpp_mask(p, &i->dpp, false);
    if (take(p, "bound_ctrl:1"))
        return (i->dpp.zero = true);
    if (take(p, "fi:1"))
        return (i->dpp.inactive = true);
    if (take(p, "scope:")) {
        static const char *const names[] = { "SCOPE_CU", "SCOPE_SE", "SCOPE_DEV", "SCOPE_SYS" };
        for (uint8_t k = 0; k < 4; k++)
            if (take(p, names[k])) {
                i->scope = k;
                return (i->cached = true);
            }
        return refuse(p, "a scope that is not known");
    }
    if (take(p, "th:")) { /* of caches: no effect on what a single program reads */
        i->cached |= strncmp(p->at, "TH_ATOMIC_RETURN", 16) != 0; /* which only says that there is a result */
        while (*p->at && *p->at != ' ')
            p->at++;
        return true;
    }
    if (!dpp_rows(p, &i->dpp, &found) || found)
        return found;
    return refuse(p, "a modifier that is not known");
}

/* ---- one instruction ---- */

/* The name without what only tells the encoding. */
static size_t base_name(const char *name, size_t size)
{
    static const char *const suffixes[] = { "_e64_dpp8", "_e64_dpp", "_dpp8", "_dpp", "_e64", "_e32" };
    for (size_t k = 0; k < sizeof suffixes / sizeof *suffixes; k++) {
        size_t n = strlen(suffixes[k]);
        if (size > n && memcmp(name + size - n, suffixes[k], n) == 0)
            return size - n;
    }
    return size;
}

/* A float's constant is one of the source's type: f16 where the source is a half. */
static bool fit_constant(parser *p, const gfx_insn *i, gfx_operand *o)
{
    const gfx_op *op = i->op;
    if (o->kind != GFX_FLOAT || !op->lanes)
        return true;
    if (op->param >> i->src_count & 1)
        o->bits = ash_f32_to_f16(gfx_float(o->bits));
    else if ((op->flags & GFX_PACKED) && !(op->flags & GFX_MIXED) && i->src_count < 2)
        return refuse(p, "a float's constant for a source of another type");
    return true;
}

static bool place(parser *p, gfx_insn *i, gfx_operand *list, int count)
{
    int at = 0;
    unsigned flags = i->op->flags;
    bool branch = i->op->class == GFX_SCALAR_BRANCH || i->op->class == GFX_WAIT || i->op->class == GFX_HINT ||
                  i->op->class == GFX_BARRIER;
    if (branch) {
        i->simm = count ? list[0].bits : 0;
        return true;
    }
    bool none = (flags & GFX_NO_DST) || ((flags & GFX_MAY_RETURN) && count == 3) || i->op->class == GFX_END;
    if (!none) {
        if (count == 0 || (list[0].kind != GFX_VGPR && list[0].kind != GFX_SGPR))
            return refuse(p, "no destination");
        i->dst = list[at++];
    }
    if (flags & GFX_TWO_DST)
        i->dst2 = list[at++];
    if (count - at > GFX_SRC_MAX)
        return refuse(p, "too many operands");
    for (; at < count; at++) {
        if ((list[at].neg || list[at].abs) && !(flags & GFX_FLOATS))
            return refuse(p, "the sign or magnitude of an operand that is no float");
        if (!fit_constant(p, i, &list[at]))
            return false;
        gfx_operand *o = &i->src[i->src_count];
        *o = list[at];
        bool half = i->op->lanes && !(flags & GFX_PACKED) && i->op->param >> i->src_count & 1;
        o->plain = o->kind == GFX_VGPR && !o->neg && !o->abs && !half && !(i->src_count == 0 && i->dpp.on);
        i->src_count++;
    }
    bool clamps = i->op->class == GFX_MATRIX || (flags & GFX_CLAMPS), real = (flags & GFX_FLOATS) &&
        !(flags & (GFX_PLAIN_RESULT | GFX_PACKED));
    if ((i->omod && !real) || (i->clamp && !clamps && !real))
        return refuse(p, "clamp or a factor on what is no float");
    return true;
}

static bool parse(parser *p, gfx_insn *i)
{
    blanks(p);
    const char *name = p->at;
    size_t size = strcspn(name, " \t"), base = base_name(name, size);
    char plain[64];
    bool dual = size > 7 && memcmp(name, "v_dual_", 7) == 0;
    snprintf(plain, sizeof plain, "%s%.*s", dual ? "v_" : "", (int)(dual ? base - 7 : base), name + (dual ? 7 : 0));
    i->op = gfx_op_find(plain);
    if (!i->op)
        return refuse(p, "an instruction that is not known");
    i->dpp.write = UINT32_MAX;
    i->op_sel_hi = i->op->flags & GFX_MIXED ? 0 : 0xff;
    p->at += size;
    if (strcmp(plain, "s_sendmsg") == 0) { /* that registers are free, at the end: no effect on results */
        blanks(p);
        return strcmp(p->at, "sendmsg(MSG_DEALLOC_VGPRS)") == 0 || refuse(p, "a message that is not known");
    }
    bool scoped = i->op->flags & GFX_SCOPED;
    if (i->op->class == GFX_HINT && !scoped && !isdigit((unsigned char)p->at[strspn(p->at, " \t")]))
        return true; /* delays: the rest is a description */
    gfx_operand list[GFX_SRC_MAX + 2];
    int count = 0;
    blanks(p);
    while (*p->at && !scoped) {
        if (count == GFX_SRC_MAX + 2)
            return refuse(p, "too many operands");
        if (!operand(p, &list[count++]))
            return false;
        if (!take(p, ","))
            break;
        blanks(p);
    }
    if (dual && strcmp(plain, "v_cndmask_b32") == 0 && count == 3) /* the mask goes without saying */
        list[count++] = (gfx_operand){ .kind = GFX_SGPR, .count = 1, .index = GFX_VCC };
    for (blanks(p); *p->at; blanks(p))
        if (!modifier(p, i))
            return false;
    return place(p, i, list, count);
}

static bool parse_line(const char *line, gfx_insn *i, gfx_error *err)
{
    char first[TEXT_MAX];
    snprintf(first, sizeof first, "%s", line);
    char *second = strstr(first, " :: ");
    if (second) {
        *second = 0;
        second += 4;
    }
    parser p = { first, line, err };
    if (!parse(&p, i))
        return false;
    if (!second)
        return true;
    gfx_insn *other = calloc(1, sizeof *other);
    p = (parser){ second, line, err };
    if (!other || !parse(&p, other)) {
        free(other);
        return false;
    }
    other->address = i->address;
    i->dual = other;
    return true;
}

/* ---- a run of instructions ---- */

/* Branches hold a distance in words behind themselves: turned into an index. */
static bool link_branches(gfx_insn *insns, uint32_t count, gfx_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        if (insns[i].op->class != GFX_SCALAR_BRANCH)
            continue;
        uint32_t target = insns[i].address + 4 + (uint32_t)((int32_t)(int16_t)insns[i].simm * 4), low = 0, high = count;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (insns[middle].address < target)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == count || insns[low].address != target) {
            snprintf(err->text, sizeof err->text, "\"%s\" at 0x%x goes to 0x%x, where no instruction begins",
                     insns[i].text, insns[i].address, target);
            return false;
        }
        insns[i].simm = low;
    }
    return true;
}

static void make_ready(void)
{
    LLVMInitializeAMDGPUTargetInfo();
    LLVMInitializeAMDGPUTargetMC();
    LLVMInitializeAMDGPUDisassembler();
}

/* One for each run of instructions: several threads may decode at once. */
static LLVMDisasmContextRef disassembler(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_ready);
    return LLVMCreateDisasmCPU("amdgcn-amd-amdhsa", "gfx1201", NULL, 0, NULL, NULL);
}

bool gfx_decode(const uint8_t *bytes, size_t size, uint32_t address, gfx_insn **out, uint32_t *count, gfx_error *err)
{
    *out = NULL;
    *count = 0;
    LLVMDisasmContextRef context = disassembler();
    uint8_t *copy = malloc(size + 1);
    gfx_insn *insns = calloc(size / 4 + 1, sizeof *insns);
    bool fine = context && copy && insns;
    if (fine)
        memcpy(copy, bytes, size);
    else
        snprintf(err->text, sizeof err->text, "no disassembler for gfx1201, or no memory");
    uint32_t n = 0;
    for (size_t at = 0; fine && at < size; n++) {
        char text[TEXT_MAX];
        size_t used = LLVMDisasmInstruction(context, copy + at, size - at, address + at, text, sizeof text);
        if (used == 0) {
            snprintf(err->text, sizeof err->text, "no instruction at 0x%zx", address + at);
            fine = false;
            break;
        }
        const char *line = text + strspn(text, " \t");
        insns[n].address = address + (uint32_t)at;
        insns[n].text = strdup(line);
        fine = insns[n].text && parse_line(line, &insns[n], err);
        if (fine) {
            gfx_classify(&insns[n]);
            gfx_find_in_place(&insns[n]);
        }
        if (fine && strcmp(insns[n].op->name, "ds_swizzle_b32") == 0)
            insns[n].offset = copy[at] | copy[at + 1] << 8;
        at += used;
    }
    if (context)
        LLVMDisasmDispose(context);
    free(copy);
    fine = fine && link_branches(insns, n, err);
    if (!fine) {
        gfx_insns_free(insns, n + (insns != NULL));
        return false;
    }
    *out = insns;
    *count = n;
    return true;
}

void gfx_insns_free(gfx_insn *insns, uint32_t count)
{
    for (uint32_t i = 0; insns && i < count; i++) {
        free(insns[i].text);
        free((void *)insns[i].dual);
    }
    free(insns);
}
