/* LDS: loads, stores, atomics, and lanes exchanged through its crossbar. Each dword has a record of who touched it
 * since which barrier: a conflict that no barrier orders is a fault, whatever the order in which the waves ran. */
#include <string.h>

#include "tests/gfx12/lanes.h"
#include "tests/gfx12/transfer.h"

/* ---- what is read before it is written, and what no barrier orders ---- */

/* Times count barriers: a wave's is even between barriers, odd from its signal to the end of its wait. What two
 * waves do at times one or none apart is not ordered. */
static bool close_by(uint32_t a, uint32_t b) { return a - b + 1 <= 2; }

static const char no_barrier[] = "lane %d %s LDS at %u, which wave %u %s with no barrier between";

/* The lists have a row's entries from here on. */
static void set_apart(const gfx_lds_log *log, uint32_t row)
{
    gfx_lds_row *r = &log->rows[row];
    if (r->apart)
        return;
    r->apart = true;
    for (uint32_t n = row * GFX_LDS_ROW; n < (row + 1) * GFX_LDS_ROW; n++) {
        log->marks[n] = r->marks;
        log->write_time[n] = r->write_time;
        for (int p = 0; p < 2; p++) {
            log->read_time[p][n] = r->read_time[p];
            log->readers[p][n] = r->readers[p];
        }
    }
}

static bool touch(gfx_wave *w, uint32_t at, uint32_t bytes, gfx_lds_use use, int lane)
{
    const gfx_lds_log *log = &w->group->lds_log;
    uint32_t me = w->index, now = w->time, n = at / 4;
    set_apart(log, n / GFX_LDS_ROW);
    uint32_t marks = log->marks[n], writer = marks & GFX_LDS_WRITER;
    bool other = marks >> GFX_LDS_FRESH & bytes && writer != me && close_by(now, log->write_time[n]);
    if (use != GFX_LDS_WRITE && (marks >> GFX_LDS_WRITTEN & bytes) != bytes) {
        gfx_fault(w, "lane %d reads LDS at %u before anything wrote it", lane, at);
        return false;
    }
    if (other && !(use == GFX_LDS_ATOMIC && marks & GFX_LDS_ATOMICALLY)) {
        gfx_fault(w, no_barrier, lane, use == GFX_LDS_READ ? "reads" : "writes", at, writer, "wrote");
        return false;
    }
    if (use == GFX_LDS_READ) {
        uint32_t *time = &log->read_time[now & 1][n], *readers = &log->readers[now & 1][n];
        bool first = *time >> 4 != now;
        *readers = (first ? 0 : *readers) | UINT32_C(1) << me;
        *time = now << 4 | (first ? 0 : *time & 15) | bytes;
        return true;
    }
    for (int p = 0; p < 2; p++) {
        uint32_t others = log->readers[p][n] & ~(UINT32_C(1) << me);
        if (others && log->read_time[p][n] & bytes && close_by(now, log->read_time[p][n] >> 4)) {
            gfx_fault(w, no_barrier, lane, "writes", at, (unsigned)__builtin_ctz(others), "read");
            return false;
        }
    }
    bool again = writer == me && log->write_time[n] == now;
    uint32_t fresh = (again ? marks >> GFX_LDS_FRESH & 15 : 0) | bytes,
             written = (marks >> GFX_LDS_WRITTEN & 15) | bytes;
    log->marks[n] = me | fresh << GFX_LDS_FRESH | written << GFX_LDS_WRITTEN |
                    (use == GFX_LDS_ATOMIC ? GFX_LDS_ATOMICALLY : 0);
    log->write_time[n] = now;
    return true;
}

uint8_t *gfx_lds(gfx_wave *w, uint32_t address, uint32_t bytes, gfx_lds_use use, int lane)
{
    gfx_group *g = w->group;
    uint32_t size = g->lds_bytes, end = address + bytes;
    if (address > size || bytes > size - address) {
        gfx_fault(w, "lane %d: %u bytes of LDS at %u, of which the kernel has %u", lane, bytes, address, size);
        return NULL;
    }
    for (uint32_t at = address; at < end;) {
        uint32_t first = at & 3, count = end - at < 4 - first ? end - at : 4 - first;
        if (!touch(w, at, ((1u << count) - 1) << first, use, lane))
            return NULL;
        at += count;
    }
    return g->lds + address;
}

/* Entries of as many dwords, read_time and readers those of times like now's; the others of the time before. */
typedef struct entries { uint32_t *marks, *write_time, *time, *readers, *time_before, *before; } entries;

/* What dwords mostly are, read or written whole: false where touch must look at each. */
static inline __attribute__((always_inline)) bool touch_entries(const gfx_wave *w, entries e, uint32_t count, bool write)
{
    uint32_t me = w->index, now = w->time, bit = UINT32_C(1) << me, bad = 0;
    uint32_t *restrict marks = e.marks, *restrict write_time = e.write_time, *restrict time = e.time;
    uint32_t *restrict readers = e.readers;
    const uint32_t *restrict time_before = e.time_before, *restrict before = e.before;
    if (write) {
        for (uint32_t k = 0; k < count; k++) {
            uint32_t fresh = marks[k] & 15 << GFX_LDS_FRESH, of_others = (marks[k] & GFX_LDS_WRITER) != me;
            bad |= (fresh && now - write_time[k] + 1 <= 2 ? of_others : 0) |
                   ((time[k] >> 4 == now ? readers[k] : 0) & ~bit) |
                   (now - (time_before[k] >> 4) <= 1 ? before[k] & ~bit : 0);
        }
        for (uint32_t k = 0; k < count && !bad; k++) {
            marks[k] = me | 15 << GFX_LDS_FRESH | 15 << GFX_LDS_WRITTEN;
            write_time[k] = now;
        }
        return !bad;
    }
    for (uint32_t k = 0; k < count; k++) {
        uint32_t fresh = marks[k] & 15 << GFX_LDS_FRESH, of_others = (marks[k] & GFX_LDS_WRITER) != me;
        bad |= (fresh && now - write_time[k] + 1 <= 2 ? of_others : 0) | (~marks[k] & 15 << GFX_LDS_WRITTEN);
    }
    for (uint32_t k = 0; k < count && !bad; k++) {
        readers[k] = (time[k] >> 4 == now ? readers[k] : 0) | bit;
        time[k] = now << 4 | 15;
    }
    return !bad;
}

static bool touch_words(const gfx_wave *w, uint32_t n, uint32_t count, bool write)
{
    const gfx_lds_log *log = &w->group->lds_log;
    unsigned p = w->time & 1;
    bool whole = count == GFX_LDS_ROW && n % GFX_LDS_ROW == 0;
    gfx_lds_row *r = &log->rows[n / GFX_LDS_ROW];
    if (whole && !r->apart) {
        entries e = { &r->marks, &r->write_time, &r->read_time[p], &r->readers[p], &r->read_time[!p], &r->readers[!p] };
        return touch_entries(w, e, 1, write);
    }
    for (uint32_t row = n / GFX_LDS_ROW; count && row <= (n + count - 1) / GFX_LDS_ROW; row++)
        set_apart(log, row);
    entries e = { log->marks + n, log->write_time + n, log->read_time[p] + n, log->readers[p] + n,
                  log->read_time[!p] + n, log->readers[!p] + n };
    if (!touch_entries(w, e, count, write))
        return false;
    if (whole && write) /* Its own reads before: who conflicts with them conflicts with what it writes. */
        *r = (gfx_lds_row){ .marks = log->marks[n], .write_time = log->write_time[n] };
    return true;
}

/* Whether all lanes are active and have `bytes` behind each other, which may be touched. */
static inline bool reached_row(gfx_wave *w, const uint32_t address[GFX_LANES], uint32_t bytes, bool write)
{
    uint32_t size = w->group->lds_bytes, first = address[0], apart = 0;
    if (w->s[GFX_EXEC] != UINT32_MAX || first & 3 || first > size || GFX_LANES * bytes > size - first)
        return false;
    LANES { apart |= address[l] ^ (first + bytes * (uint32_t)l); }
    return apart == 0 && touch_words(w, first / 4, GFX_LANES * bytes / 4, write);
}

/* Checks `bytes` at an address of each active lane, whole dwords. Lanes mostly lie behind each other, or at one place:
 * what they touch together is looked at once. */
static bool reached(gfx_wave *w, const uint32_t address[GFX_LANES], uint32_t bytes, bool write)
{
    uint32_t size = w->group->lds_bytes, exec = w->s[GFX_EXEC], first = 0, end = 0; /* of what is to be looked at */
    bool whole = true;
    for (uint32_t left = exec; left && whole; left &= left - 1) {
        uint32_t at = address[__builtin_ctz(left)];
        whole = !(at & 3) && at <= size && bytes <= size - at;
        if (at >= first && at + bytes <= end)
            continue;
        if (at == end) {
            end += bytes;
            continue;
        }
        whole = whole && touch_words(w, first / 4, (end - first) / 4, write);
        first = at;
        end = at + bytes;
    }
    if (whole && touch_words(w, first / 4, (end - first) / 4, write))
        return true;
    for (uint32_t left = exec; left; left &= left - 1) /* each by itself: what was looked at may be so again */
        if (!gfx_lds(w, address[__builtin_ctz(left)], bytes, write ? GFX_LDS_WRITE : GFX_LDS_READ, __builtin_ctz(left)))
            return false;
    return true;
}

/* ---- loads and stores ---- */

enum { SIGNED = 0x80, D16 = 0x40, HIGH = 0x20, BYTES = 0x1f }; /* of gfx_op.param, as for global loads */

static bool aimed(gfx_wave *w, const gfx_insn *i)
{
    if (i->src[0].kind != GFX_VGPR) {
        gfx_fault(w, "an LDS address that is no vector register");
        return false;
    }
    return gfx_check_v(w, i->src[0].index, 1, w->s[GFX_EXEC]);
}

static bool start_load(gfx_wave *w, const gfx_insn *i, unsigned count)
{
    if (i->dst.kind != GFX_VGPR || i->dst.count != count) {
        gfx_fault(w, "%u registers are loaded into another number of them", count);
        return false;
    }
    gfx_expect(w, GFX_DSCNT, false, i->dst.index, (uint16_t)count);
    for (unsigned k = 0; k < count; k++)
        w->v_written[i->dst.index + k] |= w->s[GFX_EXEC];
    return !w->fault[0];
}

static void load_narrow(gfx_wave *w, const gfx_insn *i)
{
    uint8_t param = i->op->param;
    unsigned bytes = param & BYTES;
    if (!aimed(w, i) || !start_load(w, i, 1))
        return;
    for (uint32_t left = w->s[GFX_EXEC]; left; left &= left - 1) {
        int l = __builtin_ctz(left);
        uint32_t *v = &w->v[i->dst.index][l];
        const uint8_t *from = gfx_lds(w, w->v[i->src[0].index][l] + (uint32_t)i->offset, bytes, GFX_LDS_READ, l);
        if (!from)
            return;
        uint16_t half = 0;
        memcpy(&half, from, bytes);
        uint32_t x = param & SIGNED ? (uint32_t)(int32_t)(bytes == 1 ? (int8_t)half : (int16_t)half) : half;
        *v = !(param & D16) ? x : param & HIGH ? (*v & 0xffff) | x << 16 : (*v & 0xffff0000) | (x & 0xffff);
    }
}

static void in_host(const gfx_group *g, const uint32_t at[GFX_LANES], uint64_t out[GFX_LANES])
{
    LANES { out[l] = (uint64_t)(uintptr_t)g->lds + at[l]; }
}

/* `count` pieces of `bytes` each, at their own offsets. */
static void load_wide(gfx_wave *w, const gfx_insn *i, unsigned bytes, unsigned count, const uint32_t *offsets)
{
    uint32_t address[GFX_LANES], exec = w->s[GFX_EXEC];
    uint64_t places[GFX_LANES];
    if (!aimed(w, i))
        return;
    memcpy(address, w->v[i->src[0].index], sizeof address); /* the load may go to where the address is */
    if (!start_load(w, i, bytes / 4 * count))
        return;
    for (unsigned n = 0; n < count; n++) {
        uint32_t at[GFX_LANES];
        LANES { at[l] = address[l] + offsets[n]; }
        if (reached_row(w, at, bytes, false)) {
            gfx_load_row(&w->v[i->dst.index + n * (bytes / 4)], bytes / 4, w->group->lds + at[0]);
            continue;
        }
        if (!reached(w, at, bytes, false))
            return;
        if (exec == UINT32_MAX) {
            in_host(w->group, at, places);
            gfx_load_lanes(&w->v[i->dst.index + n * (bytes / 4)], bytes / 4, places);
            continue;
        }
        for (unsigned k = 0; k < bytes / 4; k++) {
            const uint8_t *lds = w->group->lds + 4 * k;
            uint32_t *to = w->v[i->dst.index + n * (bytes / 4) + k];
            for (uint32_t left = exec; left; left &= left - 1)
                memcpy(&to[__builtin_ctz(left)], lds + at[__builtin_ctz(left)], 4);
        }
    }
}

static void store(gfx_wave *w, const gfx_insn *i, unsigned bytes, unsigned count, const uint32_t *offsets)
{
    unsigned registers = bytes < 4 ? 1 : bytes / 4, skip = i->op->param & HIGH && bytes < 4 ? 2 : 0;
    uint32_t exec = w->s[GFX_EXEC];
    if (!aimed(w, i))
        return;
    for (unsigned n = 0; n < count; n++)
        if (!gfx_check_v(w, i->src[1 + n].index, registers, exec))
            return;
    for (unsigned n = 0; n < count; n++) {
        const gfx_operand *data = &i->src[1 + n];
        uint32_t at[GFX_LANES];
        LANES { at[l] = w->v[i->src[0].index][l] + offsets[n]; }
        if (bytes >= 4 && !reached_row(w, at, bytes, true) && !reached(w, at, bytes, true))
            return;
        if (bytes >= 4 && exec == UINT32_MAX) {
            uint64_t places[GFX_LANES];
            in_host(w->group, at, places);
            gfx_store_lanes((const uint32_t(*)[GFX_LANES])&w->v[data->index], bytes / 4, places);
            continue;
        }
        for (uint32_t left = exec; left; left &= left - 1) {
            int l = __builtin_ctz(left);
            uint8_t *to = bytes < 4 ? gfx_lds(w, at[l], bytes, GFX_LDS_WRITE, l) : w->group->lds + at[l];
            if (!to)
                return;
            if (bytes < 4)
                memcpy(to, (const uint8_t *)&w->v[data->index][l] + skip, bytes);
            for (unsigned k = 0; k < bytes / 4; k++)
                memcpy(to + 4 * k, &w->v[data->index + k][l], 4);
        }
    }
    gfx_expect(w, GFX_DSCNT, false, 0, 0);
}

static void load_one(gfx_wave *w, const gfx_insn *i)
{
    uint32_t offset = (uint32_t)i->offset;
    load_wide(w, i, i->op->param, 1, &offset);
}
static void store_one(gfx_wave *w, const gfx_insn *i)
{
    uint32_t offset = (uint32_t)i->offset;
    store(w, i, i->op->flags & GFX_WIDE_ACCESS ? i->op->param : i->op->param & BYTES, 1, &offset);
}
/* Two offsets, in elements or in 64 of them. */
static void two_offsets(const gfx_insn *i, unsigned bytes, uint32_t out[2])
{
    uint32_t unit = bytes * (i->op->flags & GFX_STRIDE_64 ? 64 : 1);
    out[0] = i->offset0 * unit;
    out[1] = i->offset1 * unit;
}
static void load_two(gfx_wave *w, const gfx_insn *i)
{
    uint32_t offsets[2];
    two_offsets(i, i->op->param, offsets);
    load_wide(w, i, i->op->param, 2, offsets);
}
static void store_two(gfx_wave *w, const gfx_insn *i)
{
    uint32_t offsets[2];
    two_offsets(i, i->op->param, offsets);
    store(w, i, i->op->param, 2, offsets);
}

static void ds_atomic(gfx_wave *w, const gfx_insn *i)
{
    unsigned bytes = i->op->param & GFX_ATOMIC_WIDE ? 8 : 4, count = bytes / 4, sources = i->src_count - 1u;
    bool returns = !(i->op->flags & GFX_NO_DST);
    if (!aimed(w, i))
        return;
    for (unsigned n = 0; n < sources; n++)
        if (!gfx_check_v(w, i->src[1 + n].index, count, w->s[GFX_EXEC]))
            return;
    uint64_t old[GFX_LANES] = { 0 };
    for (uint32_t left = w->s[GFX_EXEC]; left; left &= left - 1) {
        int l = __builtin_ctz(left);
        uint8_t *at = gfx_lds(w, w->v[i->src[0].index][l] + (uint32_t)i->offset, bytes, GFX_LDS_ATOMIC, l);
        if (!at)
            return;
        uint64_t data[2] = { 0, 0 };
        for (unsigned n = 0; n < sources; n++)
            for (unsigned k = 0; k < count; k++)
                data[n] |= (uint64_t)w->v[i->src[1 + n].index + k][l] << 32 * k;
        memcpy(&old[l], at, bytes);
        uint64_t new = gfx_atomic(i->op->param, old[l], data[0], data[1]);
        memcpy(at, &new, bytes);
    }
    if (!returns) {
        gfx_expect(w, GFX_DSCNT, false, 0, 0);
        return;
    }
    if (!start_load(w, i, count))
        return;
    for (uint32_t left = w->s[GFX_EXEC]; left; left &= left - 1)
        for (unsigned k = 0; k < count; k++)
            w->v[i->dst.index + k][__builtin_ctz(left)] = (uint32_t)(old[__builtin_ctz(left)] >> 32 * k);
}

/* ---- lanes exchanged ---- */

static void take(gfx_wave *w, const gfx_insn *i, const gfx_operand *data, const uint8_t from[GFX_LANES])
{
    uint32_t exec = w->s[GFX_EXEC], r[GFX_LANES], read = 0;
    LANES {
        bool there = from[l] < GFX_LANES && exec >> from[l] & 1;
        r[l] = there ? w->v[data->index][from[l]] : 0;
        if (there && exec >> l & 1)
            read |= UINT32_C(1) << from[l];
    }
    if (!gfx_check_v(w, data->index, 1, read) || !start_load(w, i, 1))
        return;
    for (uint32_t left = exec; left; left &= left - 1)
        w->v[i->dst.index][__builtin_ctz(left)] = r[__builtin_ctz(left)];
}

/* Lane l takes the value of lane (address / 4) mod 32; of an inactive one 0. */
static void ds_bpermute(gfx_wave *w, const gfx_insn *i)
{
    uint8_t from[GFX_LANES];
    if (!aimed(w, i))
        return;
    LANES { from[l] = (uint8_t)((w->v[i->src[0].index][l] + (uint32_t)i->offset) / 4 % GFX_LANES); }
    take(w, i, &i->src[1], from);
}
/* Lane l gives its value to lane (address / 4) mod 32; the highest lane wins, and who gets none has 0. */
static void ds_permute(gfx_wave *w, const gfx_insn *i)
{
    uint8_t from[GFX_LANES];
    if (!aimed(w, i))
        return;
    memset(from, GFX_LANES, sizeof from);
    LANES {
        if (w->s[GFX_EXEC] >> l & 1)
            from[(w->v[i->src[0].index][l] + (uint32_t)i->offset) / 4 % GFX_LANES] = (uint8_t)l;
    }
    take(w, i, &i->src[1], from);
}
/* The pattern is in the offset: quads, or masks that are and-ed, or-ed and xor-ed to the lane's number. */
static void ds_swizzle(gfx_wave *w, const gfx_insn *i)
{
    uint32_t pattern = (uint32_t)i->offset;
    uint8_t from[GFX_LANES];
    LANES {
        uint32_t n = (uint32_t)l;
        if (pattern >> 8 == 0x80)
            n = (n & 28) | (pattern >> 2 * (n & 3) & 3);
        else if (pattern >> 15 == 0)
            n = ((n & (pattern & 31)) | (pattern >> 5 & 31)) ^ (pattern >> 10 & 31);
        else {
            gfx_fault(w, "a swizzle's pattern 0x%04x that is not known", pattern);
            return;
        }
        from[l] = (uint8_t)n;
    }
    take(w, i, &i->src[0], from);
}

#define DS(name, fn, class, flags, param) { "ds_" name, fn, NULL, class, flags, param }
#define NARROW(name, param) DS("load_" name, load_narrow, GFX_DS_LOAD, 0, param)
#define LOAD(name, bytes) DS("load_" name, load_one, GFX_DS_LOAD, GFX_WIDE_ACCESS, bytes)
#define STORE(name, flags, param) DS("store_" name, store_one, GFX_DS_STORE, (flags) | GFX_NO_DST, param)
#define ATOMIC(name, rtn, kind)                                                     \
    DS(name, ds_atomic, GFX_DS_ATOMIC, GFX_NO_DST, kind), DS(rtn, ds_atomic, GFX_DS_ATOMIC, 0, kind)
#define WIDE(kind) (GFX_ATOMIC_WIDE | (kind))

const gfx_op gfx_lds_ops[] = {
    NARROW("u8", 1), NARROW("i8", SIGNED | 1), NARROW("u16", 2), NARROW("i16", SIGNED | 2),
    NARROW("u8_d16", D16 | 1), NARROW("i8_d16", D16 | SIGNED | 1), NARROW("u16_d16", D16 | 2),
    NARROW("u8_d16_hi", D16 | HIGH | 1), NARROW("i8_d16_hi", D16 | HIGH | SIGNED | 1),
    NARROW("u16_d16_hi", D16 | HIGH | 2), LOAD("b32", 4), LOAD("b64", 8), LOAD("b96", 12), LOAD("b128", 16),
    STORE("b8", 0, 1), STORE("b16", 0, 2), STORE("b8_d16_hi", 0, HIGH | 1), STORE("b16_d16_hi", 0, HIGH | 2),
    STORE("b32", GFX_WIDE_ACCESS, 4), STORE("b64", GFX_WIDE_ACCESS, 8), STORE("b96", GFX_WIDE_ACCESS, 12),
    STORE("b128", GFX_WIDE_ACCESS, 16),
    DS("load_2addr_b32", load_two, GFX_DS_LOAD, GFX_WIDE_ACCESS, 4),
    DS("load_2addr_b64", load_two, GFX_DS_LOAD, GFX_WIDE_ACCESS, 8),
    DS("load_2addr_stride64_b32", load_two, GFX_DS_LOAD, GFX_WIDE_ACCESS | GFX_STRIDE_64, 4),
    DS("load_2addr_stride64_b64", load_two, GFX_DS_LOAD, GFX_WIDE_ACCESS | GFX_STRIDE_64, 8),
    DS("store_2addr_b32", store_two, GFX_DS_STORE, GFX_WIDE_ACCESS | GFX_NO_DST, 4),
    DS("store_2addr_b64", store_two, GFX_DS_STORE, GFX_WIDE_ACCESS | GFX_NO_DST, 8),
    DS("store_2addr_stride64_b32", store_two, GFX_DS_STORE, GFX_WIDE_ACCESS | GFX_STRIDE_64 | GFX_NO_DST, 4),
    DS("store_2addr_stride64_b64", store_two, GFX_DS_STORE, GFX_WIDE_ACCESS | GFX_STRIDE_64 | GFX_NO_DST, 8),
    ATOMIC("add_u32", "add_rtn_u32", GFX_ADD), ATOMIC("sub_u32", "sub_rtn_u32", GFX_SUB),
    ATOMIC("min_i32", "min_rtn_i32", GFX_MIN_I), ATOMIC("max_i32", "max_rtn_i32", GFX_MAX_I),
    ATOMIC("min_u32", "min_rtn_u32", GFX_MIN_U), ATOMIC("max_u32", "max_rtn_u32", GFX_MAX_U),
    ATOMIC("and_b32", "and_rtn_b32", GFX_AND), ATOMIC("or_b32", "or_rtn_b32", GFX_OR),
    ATOMIC("xor_b32", "xor_rtn_b32", GFX_XOR), ATOMIC("add_f32", "add_rtn_f32", GFX_ADD_F),
    ATOMIC("min_num_f32", "min_num_rtn_f32", GFX_MIN_F), ATOMIC("max_num_f32", "max_num_rtn_f32", GFX_MAX_F),
    ATOMIC("pk_add_f16", "pk_add_rtn_f16", GFX_PK_ADD_F16),
    DS("storexchg_rtn_b32", ds_atomic, GFX_DS_ATOMIC, 0, GFX_SWAP),
    DS("storexchg_rtn_b64", ds_atomic, GFX_DS_ATOMIC, 0, WIDE(GFX_SWAP)),
    DS("cmpstore_b32", ds_atomic, GFX_DS_ATOMIC, GFX_NO_DST, GFX_CMPSWAP),
    DS("cmpstore_rtn_b32", ds_atomic, GFX_DS_ATOMIC, 0, GFX_CMPSWAP),
    DS("cmpstore_b64", ds_atomic, GFX_DS_ATOMIC, GFX_NO_DST, WIDE(GFX_CMPSWAP)),
    DS("cmpstore_rtn_b64", ds_atomic, GFX_DS_ATOMIC, 0, WIDE(GFX_CMPSWAP)),
    ATOMIC("add_u64", "add_rtn_u64", WIDE(GFX_ADD)), ATOMIC("max_u64", "max_rtn_u64", WIDE(GFX_MAX_U)),
    ATOMIC("min_u64", "min_rtn_u64", WIDE(GFX_MIN_U)), ATOMIC("or_b64", "or_rtn_b64", WIDE(GFX_OR)),
    DS("bpermute_b32", ds_bpermute, GFX_DS_LANES, 0, 4), DS("permute_b32", ds_permute, GFX_DS_LANES, 0, 4),
    DS("swizzle_b32", ds_swizzle, GFX_DS_LANES, 0, 4),
    { NULL, NULL, NULL, GFX_HINT, 0, 0 },
};
