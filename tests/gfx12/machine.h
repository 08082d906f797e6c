/* An interpreter for the gfx1201 machine code that our kernels are compiled to: what a wave of 32 lanes is, what an
 * instruction looks like once it is decoded, and what can go wrong.
 *
 * Sources: AMD's RDNA4 instruction set architecture document, and LLVM 19's AMDGPU back end, whose disassembler
 * gives the instructions as text (decode.c). What is not known here is refused by name when a kernel is loaded: an
 * instruction, a modifier, an operand. Nothing is skipped silently but what has no effect on results: hints, delays,
 * clauses, priorities.
 *
 * Found while running, each with kernel, address and instruction: a register read before it was written, or before
 * the s_wait that covers the load into it; an access outside the buffers that the caller named; WMMA under a partial
 * EXEC; LDS beyond what the kernel declares; a barrier that some wave never reaches; global memory that one wave reads
 * and another one wrote in this launch with nothing that makes it visible (races.c).
 *
 * Floats are the host's: IEEE, round to nearest, denormals kept (the mode that kernels are compiled for; another one
 * is refused). Transcendental instructions, which the hardware rounds to about 1 ulp, give the host's result rounded
 * once, and those of f32 flush denormals as the hardware does (gfx_flushed). */
#ifndef ASHLAR_TESTS_GFX12_MACHINE_H
#define ASHLAR_TESTS_GFX12_MACHINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GFX_LANES 32
#define GFX_VGPRS 256
/* Scalar registers by their number in the encoding. */
#define GFX_SGPRS 128
enum { GFX_VCC = 106, GFX_TTMP = 108, GFX_NULL = 124, GFX_M0 = 125, GFX_EXEC = 126 };
#define GFX_LDS_MAX 65536u
#define GFX_SCRATCH_MAX 65536u /* of a lane */

/* ---- memory ---- */

/* Buffers that a kernel may touch, at their host addresses. */
typedef struct gfx_buffer {
    const char *name;
    void *base;
    size_t size;
    bool writable;
} gfx_buffer;

/* How a buffer was used: bytes as lanes asked for them, and the lines of 128 bytes that they lie in, each counted
 * once: what must come from memory, where the rest may come from a cache. */
typedef struct gfx_touch { uint64_t read_bytes, written_bytes, read_lines, written_lines; } gfx_touch;
#define GFX_LINE 128u

/* ---- what is counted ---- */

typedef enum gfx_event {
    GFX_VALU, GFX_VALU_DUAL /* a VOPD pair, once */, GFX_VALU_TRANSCENDENTAL, GFX_VALU_PRODUCT,
    GFX_WMMA_IU8, GFX_WMMA_FP8, GFX_WMMA_F16, GFX_WMMA_BF16, GFX_SALU, GFX_SMEM, GFX_BRANCH, GFX_WAITS, GFX_BARRIERS,
    GFX_HINTS, GFX_PREFETCH,
    GFX_LOAD_8, GFX_LOAD_16, GFX_LOAD_32, GFX_LOAD_64, GFX_LOAD_96, GFX_LOAD_128, /* a lane */
    GFX_STORE_8, GFX_STORE_16, GFX_STORE_32, GFX_STORE_64, GFX_STORE_96, GFX_STORE_128, GFX_ATOMIC,
    GFX_LDS_LOAD_8, GFX_LDS_LOAD_16, GFX_LDS_LOAD_32, GFX_LDS_LOAD_64, GFX_LDS_LOAD_96, GFX_LDS_LOAD_128,
    GFX_LDS_STORE_8, GFX_LDS_STORE_16, GFX_LDS_STORE_32, GFX_LDS_STORE_64, GFX_LDS_STORE_96, GFX_LDS_STORE_128,
    GFX_LDS_ATOMICS, GFX_LDS_LANES, GFX_SCRATCH_LOAD, GFX_SCRATCH_STORE, GFX_EVENTS
} gfx_event;
typedef struct gfx_stats gfx_stats;
const char *gfx_event_name(gfx_event e);
/* On the port of a SIMD that vector and matrix instructions share; count.c says where the figures come from. */
unsigned gfx_event_cycles(gfx_event e);
uint64_t gfx_issue_cycles(const gfx_stats *s);
/* Of insns or bytes: first to last, both counted. */
uint64_t gfx_total(const uint64_t *counts, gfx_event first, gfx_event last);
void gfx_stats_add(gfx_stats *to, const gfx_stats *wave);
void gfx_stats_join(gfx_stats *to, const gfx_stats *sum); /* of other waves */

/* ---- instructions ---- */

typedef struct gfx_wave gfx_wave;
typedef struct gfx_insn gfx_insn;
typedef void gfx_op_fn(gfx_wave *w, const gfx_insn *i);
/* What a vector operation gives in each lane, whether active or not: r[lane], then the upper halves of 64 bits, then
 * carries (0 or 1): GFX_LANES of each that there is. Reads registers, writes none: so both halves of a VOPD read
 * first. */
typedef void gfx_lanes_fn(gfx_wave *w, const gfx_insn *i, uint32_t *r);

typedef enum gfx_kind { GFX_OFF, GFX_VGPR, GFX_SGPR, GFX_INT, GFX_FLOAT, GFX_SCC } gfx_kind;

typedef struct gfx_operand {
    uint8_t kind;    /* gfx_kind */
    uint8_t count;   /* registers, as written: v[4:7] has 4 */
    uint16_t index;  /* of the first */
    bool neg, abs;
    bool plain;      /* a source that is a vector register as it is: no sign, no half, no DPP */
    uint32_t bits;   /* INT: the value. FLOAT: as the source's type has it */
} gfx_operand;

/* DPP: where a lane's first source comes from. */
typedef struct gfx_dpp {
    bool on, zero, inactive; /* zero: bound_ctrl, no source is 0; inactive: fi, lanes out of EXEC are read too */
    uint8_t from[GFX_LANES]; /* GFX_LANES: none */
    uint32_t write;          /* lanes that row_mask and bank_mask leave */
} gfx_dpp;

#define GFX_SRC_MAX 4
struct gfx_insn { /* what most instructions need lies in the first 64 bytes */
    const struct gfx_op *op;
    uint8_t event;           /* gfx_event */
    uint8_t bytes;           /* that a lane moves; of scalar loads the wave */
    uint8_t src_count;
    bool in_place;           /* its lanes may be written while they are read: gfx_find_in_place */
    bool cached;             /* th: or scope: */
    bool clamp;
    uint8_t omod;            /* result times 2, 4 (1, 2) or / 2 (3) */
    uint8_t scope;           /* gfx_scope: who sees it, or whom it shows what others wrote */
    gfx_operand dst, src[GFX_SRC_MAX], dst2;
    uint8_t neg_lo, neg_hi, op_sel, op_sel_hi; /* a bit an operand, as VOP3P writes them */
    uint8_t byte_sel;
    uint8_t offset0, offset1; /* of LDS instructions with two */
    int32_t offset;          /* of memory instructions */
    uint32_t simm;           /* of branches (the target's index), waits, nops */
    gfx_dpp dpp;
    const gfx_insn *dual;    /* the second half of a VOPD: both read before either writes */
    uint32_t address;        /* in the code object */
    char *text;              /* as LLVM writes it */
};

typedef enum gfx_scope { GFX_SCOPE_CU, GFX_SCOPE_SE, GFX_SCOPE_DEV, GFX_SCOPE_SYS } gfx_scope;

/* How an operation's registers are read and checked (ops.c has the table). Widths in registers; 0: as written. */
typedef enum gfx_class {
    GFX_SCALAR, GFX_SCALAR_BRANCH, GFX_SCALAR_LOAD, GFX_WAIT, GFX_HINT, GFX_END,
    GFX_VECTOR, GFX_VECTOR_COMPARE, GFX_GLOBAL_LOAD, GFX_GLOBAL_STORE, GFX_GLOBAL_ATOMIC, GFX_SCRATCH, GFX_DS_LOAD,
    GFX_DS_STORE, GFX_DS_ATOMIC, GFX_DS_LANES, GFX_MATRIX, GFX_BARRIER,
} gfx_class;
enum { /* gfx_op.flags */
    GFX_READS_DST = 1,  /* fmac: the destination is a source too */
    GFX_NO_DST = 2,     /* the first operand is a source: stores, s_cmp, v_cmpx */
    GFX_TWO_DST = 4,    /* the second operand is a destination too: carries */
    GFX_FLOATS = 8,     /* neg, abs, omod and clamp are those of f32 */
    GFX_CARRY_OUT = 16, /* the second destination is a lane mask */
    GFX_CLAMPS = 64,    /* an integer operation that does clamp itself */
    GFX_PLAIN_RESULT = 32, /* FLOATS, but the result is none: no omod, no clamp */
    GFX_TRANSCENDENTAL = 128, /* a quarter of the rate */
    GFX_PACKED = 256,   /* the operation itself reads op_sel, op_sel_hi */
    GFX_MIXED = 512,    /* op_sel_hi says which sources are halves, none where it is not written */
    GFX_NEG_LISTS = 1024, /* neg_lo, neg_hi */
    GFX_BYTE_SEL = 2048,
    GFX_OP_SEL = 4096,  /* the operation itself reads op_sel */
    GFX_WIDE_ACCESS = 8192, /* param is a number of bytes, whole registers */
    GFX_STRIDE_64 = 16384,  /* offsets count 64 elements */
    GFX_MAY_RETURN = 32768, /* a fourth operand is the destination, in front */
    GFX_SCOPED = 131072, /* a hint whose scope matters; it has no operands */
    GFX_MOVES = 65536,  /* what is not written stays so where it moves to: compilers move such registers about */
};
enum { GFX_HALF_A = 1, GFX_HALF_B = 2, GFX_HALF_C = 4, GFX_HALF_D = 8 }; /* gfx_op.param of vector operations */
typedef struct gfx_op {
    const char *name;
    gfx_op_fn *run;      /* or */
    gfx_lanes_fn *lanes; /* VECTOR, VECTOR_COMPARE */
    gfx_class class;
    unsigned flags;
    uint8_t param; /* bytes of a memory access; the counter of a wait; the sources and the result that are 16 bits: half
                    * a register, which op_sel picks */
} gfx_op;
/* The tables, gfx_NAME_ops, each ended by an entry without a name; what is in none of this list cannot be decoded. Each
 * has a test that ends with gfx_test_all_ran(gfx_NAME_ops), which tests/unit/test_gfx12.c looks for. */
#define GFX_TABLES(X)                                                                                        \
    X(scalar) X(scalar_float) X(vector) X(convert) X(half) X(packed) X(compare) X(lane) X(memory) X(lds) X(atomic) \
    X(matrix)
#define GFX_TABLE(name) extern const gfx_op gfx_##name##_ops[];
GFX_TABLES(GFX_TABLE)
#undef GFX_TABLE
const gfx_op *gfx_op_find(const char *name);

/* ---- code ---- */

typedef struct gfx_kernel {
    char name[64];
    gfx_insn *insns;
    uint32_t count;
    uint32_t lds_bytes, scratch_bytes, kernarg_bytes, vgprs; /* vgprs: without metadata rounded up */
    uint32_t sgprs, vgpr_spills, sgpr_spills, work_items_max; /* from the metadata */
    uint32_t hidden_args;                                     /* that HIP would add to the caller's */
    bool has_metadata;
    uint16_t properties; /* kernel_code_properties of the descriptor: which user SGPRs there are */
    const uint8_t *text; /* its machine code, in the ELF file, at this address of it */
    size_t text_bytes;
    uint32_t address;
} gfx_kernel;
/* Waves that a SIMD can hold at once, 16 at most, of workgroups of so many work-items. */
unsigned gfx_occupancy(const gfx_kernel *k, unsigned work_items);

typedef struct gfx_code { gfx_kernel *kernels; uint32_t count; } gfx_code;

typedef struct gfx_error { char text[512]; } gfx_error;

/* Loads an ELF code object for gfx1200 or gfx1201 and decodes every kernel in it. False: *err says what is wrong or not
 * known. Nothing of `elf` is kept. */
bool gfx_code_load(const void *elf, size_t size, gfx_code *out, gfx_error *err);
/* The same but for the instructions, which gfx_kernel_decode adds to a kernel that is to run; `elf` stays as long as
 * *out. */
bool gfx_code_open(const void *elf, size_t size, gfx_code *out, gfx_error *err);
bool gfx_kernel_decode(gfx_kernel *k, gfx_error *err);
void gfx_code_free(gfx_code *c); /* zeroed is fine */
const gfx_kernel *gfx_kernel_find(const gfx_code *c, const char *name);

/* One instruction per 4-byte-aligned place: decodes `size` bytes into *out (malloc'd), *count of them. */
bool gfx_decode(const uint8_t *bytes, size_t size, uint32_t address, gfx_insn **out, uint32_t *count, gfx_error *err);
void gfx_insns_free(gfx_insn *insns, uint32_t count);
void gfx_classify(gfx_insn *i); /* event and bytes from the operation */
/* in_place: one register, whose lanes are each made of the same lane of the sources alone, and need nothing done to them
 * afterwards. Of a VOPD the second half reads nothing that the first one writes. */
void gfx_find_in_place(gfx_insn *i);
/* What the notes of a code object say of the kernels in *code. */
void gfx_read_notes(const uint8_t *notes, size_t size, gfx_code *code);

/* ---- running ---- */

/* The counters that s_wait_* instructions look at. A register that an unfinished load will write is pending. */
typedef enum gfx_counter { GFX_LOADCNT, GFX_DSCNT, GFX_KMCNT, GFX_STORECNT, GFX_COUNTERS } gfx_counter;
#define GFX_PENDING_MAX 64

typedef struct gfx_pending { uint8_t scalar; uint16_t first, count; } gfx_pending;

/* Of one wave, or summed over waves. Every instruction counts as one event; bytes are those of all active lanes. */
struct gfx_stats {
    uint64_t insns[GFX_EVENTS], bytes[GFX_EVENTS];
    uint64_t cached;          /* memory instructions that say more than "keep it": th:, scope: */
    uint64_t waves;
    uint64_t wave_cycles_max; /* gfx_issue_cycles of the longest wave */
    uint64_t awaited, in_flight; /* registers that s_wait_loadcnt waited for; also times those then under way */
};

typedef struct gfx_group gfx_group;

/* What a wave has done to make its stores to global memory visible, and to see those of others (races.c). */
typedef struct gfx_visible {
    bool stored, unwritten;      /* since the stores counted in `released`; since the last global_wb */
    bool fetched, acquired;      /* a device's atomic returned something; a global_inv followed one */
    uint32_t epoch, released;    /* stores are of an epoch; of those below `released` the device's cache knows */
    uint32_t at_signal[2];       /* `released` at the last signals of odd and even barriers */
    uint32_t drained, inv;       /* times of the last signal with no store under way, of the last global_inv */
} gfx_visible;

struct gfx_wave {
    _Alignas(64) uint32_t v[GFX_VGPRS][GFX_LANES];
    uint32_t s[GFX_SGPRS];
    bool scc, scc_written;
    uint32_t pc;             /* index of the next instruction */
    uint32_t v_written[GFX_VGPRS]; /* lanes */
    bool s_written[GFX_SGPRS];
    uint8_t v_pending[GFX_VGPRS], s_pending[GFX_SGPRS]; /* 1 + counter, 0: none */
    gfx_pending queue[GFX_COUNTERS][GFX_PENDING_MAX]; /* rings (registers.c) */
    uint32_t oldest[GFX_COUNTERS], queued[GFX_COUNTERS];
    uint32_t expected[GFX_COUNTERS]; /* registers of all that are queued */
    bool twice[GFX_COUNTERS];
    bool done, signalled, at_barrier;
    uint32_t exec_of_mask;   /* EXEC for which `mask` was made */
    _Alignas(64) uint32_t mask[GFX_LANES]; /* all ones in active lanes */
    gfx_group *group;
    uint32_t index;          /* in the workgroup */
    uint32_t time;           /* barriers passed: + 1 at a signal, + 1 at its wait; from 2 */
    uint8_t *scratch;        /* a lane's scratch_bytes after the other's */
    gfx_visible seen;
    gfx_stats stats;
    char fault[256];         /* not empty: what went wrong */
};

typedef struct gfx_launch {
    const gfx_kernel *kernel;
    uint32_t grid[3], block[3];    /* workgroups; work-items of one */
    const void *args;              /* the kernel's arguments, kernarg_bytes */
    const gfx_buffer *buffers;
    size_t buffer_count;
    uint64_t seed;                 /* of the order in which waves run between barriers; 0: in turn */
    uint64_t insns_max;            /* of one workgroup; 0: 2^32 */
    uint32_t threads;              /* that share the workgroups; 0: the caller's alone */
    const uint32_t (*groups)[3];   /* the workgroups to run, of the grid; NULL: all */
    size_t group_count;
    gfx_touch *touch;              /* an entry a buffer, set by gfx_run; NULL: not counted, which is faster */
} gfx_launch;

/* Who touched each dword of LDS, and at which time (ops_lds.c): an entry a dword in every list. Of a row whose dwords
 * are not `apart` the lists hold nothing: the row's own entries stand for each of them. All zero: nobody touched it. */
enum { GFX_LDS_WRITER = 0xff, GFX_LDS_FRESH = 8, GFX_LDS_WRITTEN = 12, GFX_LDS_ATOMICALLY = 0x10000 };
#define GFX_LDS_ROW 128u /* dwords: what a wave's b128 access covers */
typedef struct gfx_lds_row { bool apart; uint32_t marks, write_time, read_time[2], readers[2]; } gfx_lds_row;
typedef struct gfx_lds_log {
    uint32_t *marks;        /* the last writer; bytes that it wrote at that time and bytes that were ever written, from
                             * bits FRESH and WRITTEN on; whether it was an atomic */
    uint32_t *write_time;
    uint32_t *read_time[2]; /* the last even and odd times, and bytes read at them in the lowest four bits */
    uint32_t *readers[2];   /* waves, as bits */
    gfx_lds_row *rows;
    uint32_t row_count;
} gfx_lds_log;

/* Who wrote each dword of global memory in this launch (races.c). */
typedef struct gfx_global_log gfx_global_log;
gfx_global_log *gfx_global_log_new(const gfx_launch *l, uint64_t groups); /* NULL: no memory */
void gfx_global_log_free(gfx_global_log *log);

/* Of A or B of a WMMA: registers that were last seen, and what they hold as floats (ops_matrix.c). */
typedef struct gfx_fragment { _Alignas(64) float of[8][GFX_LANES]; } gfx_fragment;
typedef struct gfx_seen_fragment {
    gfx_fragment values;
    _Alignas(64) uint32_t bits[4][GFX_LANES];
    unsigned kind; /* of floats */
} gfx_seen_fragment;
enum { GFX_SEEN = 2 }; /* of each */
typedef struct gfx_seen_fragments {
    gfx_seen_fragment list[2][GFX_SEEN]; /* zeros, whatever they are, are zeros */
    unsigned next[2];                    /* to be replaced */
} gfx_seen_fragments;

struct gfx_group {
    const gfx_launch *launch;
    gfx_wave *waves;
    uint32_t wave_count;
    uint8_t *lds, *scratch;
    gfx_lds_log lds_log;
    uint32_t lds_bytes;
    gfx_seen_fragments *fragments;
    gfx_global_log *log;      /* of the launch; NULL: no such checks */
    uint32_t number;          /* of the workgroup, in the order in which they are taken */
    uint32_t fetch_time;      /* of the last atomic that any of its waves fetched from the device's cache; 0: none */
    const gfx_buffer *recent; /* touched last, by all lanes; NULL: by none */
    gfx_touch *touch;         /* an entry a buffer; NULL: not counted */
    uint8_t **lines;          /* of each buffer: bit 0 of a line's byte: read, bit 1: written; NULL: not counted */
    pthread_mutex_t *atomics; /* held during one on global memory; NULL: no other thread runs workgroups */
    const gfx_insn *now;
};

/* Runs every workgroup. False: *err has kernel, address, instruction and lane of the lowest workgroup that went
 * wrong; *stats is zero then and touch not set. Any number of launches may run at once on threads of their own.
 * Results, counts and errors are the same for any number of threads but where workgroups see each other: whose
 * atomic comes first is not known. */
bool gfx_run(const gfx_launch *l, gfx_stats *stats, gfx_error *err);

/* A wave by itself, all lanes active, no register written, 1 KiB of LDS: for tests of single instructions. NULL when
 * out of memory. */
gfx_wave *gfx_wave_new(void);
void gfx_wave_free(gfx_wave *w);
void gfx_step(gfx_wave *w, const gfx_insn *i); /* a fault is in w->fault */
/* Until the wave ends, stops at a barrier, or fails; *left: the instructions that its workgroup may execute still. */
void gfx_run_wave(gfx_wave *w, uint64_t *left);

/* ---- for the operations ---- */

void gfx_fault(gfx_wave *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The host address of `bytes` bytes, or NULL after a fault. */
void *gfx_access(gfx_wave *w, uint64_t address, size_t bytes, bool write, int lane);
/* The same of one address in each active lane; false after a fault. */
bool gfx_access_lanes(gfx_wave *w, const uint64_t at[GFX_LANES], unsigned bytes, bool write);
/* Addresses of a global instruction, checked: sources v and s are v[2] as 64 bits and off, or an offset and a scalar
 * base. */
bool gfx_addresses(gfx_wave *w, const gfx_insn *i, int v, int s, unsigned bytes, bool write, uint64_t out[GFX_LANES]);
typedef enum gfx_lds_use { GFX_LDS_READ, GFX_LDS_WRITE, GFX_LDS_ATOMIC } gfx_lds_use;
/* Plain stores, plain loads (false after a fault), atomics, global_wb, global_inv and signals of a barrier, where the
 * group has a log. */
void gfx_log_stores(gfx_wave *w, const uint64_t at[GFX_LANES], unsigned bytes);
bool gfx_log_loads(gfx_wave *w, const gfx_insn *i, const uint64_t at[GFX_LANES], unsigned bytes);
bool gfx_log_scalar_load(gfx_wave *w, uint64_t address, unsigned bytes);
void gfx_log_atomic(gfx_wave *w, gfx_scope scope, bool returns);
void gfx_log_write_back(gfx_wave *w, gfx_scope scope);
void gfx_log_invalidate(gfx_wave *w, gfx_scope scope);
void gfx_log_signal(gfx_wave *w);
uint8_t *gfx_lds(gfx_wave *w, uint32_t address, uint32_t bytes, gfx_lds_use use, int lane);
/* What an atomic leaves in memory. */
enum { GFX_ADD, GFX_SUB, GFX_MIN_I, GFX_MAX_I, GFX_MIN_U, GFX_MAX_U, GFX_AND, GFX_OR, GFX_XOR, GFX_SWAP, GFX_CMPSWAP,
       GFX_INC, GFX_DEC, GFX_ADD_F, GFX_MIN_F, GFX_MAX_F, GFX_PK_ADD_F16, GFX_ATOMIC_WIDE = 0x80 };
uint64_t gfx_atomic(uint8_t kind, uint64_t old, uint64_t data, uint64_t compare);
void gfx_expect(gfx_wave *w, gfx_counter counter, bool scalar, uint16_t first, uint16_t count);
void gfx_wait(gfx_wave *w, gfx_counter counter, uint32_t left);

static inline uint64_t gfx_pair(const gfx_wave *w, unsigned index)
{
    return (uint64_t)w->s[index + 1] << 32 | w->s[index];
}

/* A scalar source's value; 64 bits where the operand names a pair or is an integer, sign extended. */
uint32_t gfx_s32(gfx_wave *w, const gfx_operand *o);
uint64_t gfx_s64(gfx_wave *w, const gfx_operand *o);
void gfx_set_s32(gfx_wave *w, const gfx_operand *o, uint32_t value);
void gfx_set_s64(gfx_wave *w, const gfx_operand *o, uint64_t value);

/* Register `part` of vector source k in all lanes, its modifiers applied, in `room` or where it lies. Lanes that are
 * not active hold whatever is there. */
const uint32_t *gfx_lanes_checked(gfx_wave *w, const gfx_insn *i, int k, int part, uint32_t room[GFX_LANES]);
static inline const uint32_t *gfx_lanes_of(gfx_wave *w, const gfx_insn *i, int k, int part, uint32_t room[GFX_LANES])
{
    const gfx_operand *o = &i->src[k];
    unsigned reg = o->index + (unsigned)part;
    if (o->plain && !w->v_pending[reg] && !(w->s[GFX_EXEC] & ~w->v_written[reg]))
        return w->v[reg];
    return gfx_lanes_checked(w, i, k, part, room);
}
/* Both registers of a 64-bit source. */
void gfx_wide_source(gfx_wave *w, const gfx_insn *i, int k, uint64_t out[GFX_LANES]);
/* Registers first .. end - 1, one of which may not be read in `lanes`: a fault that says which and why; false. */
bool gfx_fault_v(gfx_wave *w, unsigned first, unsigned end, uint32_t lanes);
/* Checks that v[first .. first + count) may be read in the lanes of `lanes`. */
static inline __attribute__((always_inline)) bool
gfx_check_v(gfx_wave *w, unsigned first, unsigned count, uint32_t lanes)
{
    const uint32_t *written = &w->v_written[first];
    const uint8_t *pending = &w->v_pending[first];
    uint32_t bad = 0;
    if (first + count > GFX_VGPRS)
        return gfx_fault_v(w, first, first + count, lanes);
    for (unsigned k = 0; k < count; k++)
        bad |= pending[k] | (lanes & ~written[k]);
    return !bad || gfx_fault_v(w, first, first + count, lanes);
}
/* Writes active lanes of a register. */
void gfx_set_lanes(gfx_wave *w, unsigned index, const uint32_t *r, uint32_t lanes);

static inline uint32_t gfx_reversed(uint32_t x)
{
    x = (x >> 1 & 0x55555555) | (x & 0x55555555) << 1;
    x = (x >> 2 & 0x33333333) | (x & 0x33333333) << 2;
    x = (x >> 4 & 0x0f0f0f0f) | (x & 0x0f0f0f0f) << 4;
    return __builtin_bswap32(x);
}

static inline float gfx_float(uint32_t bits) { union { uint32_t u; float f; } x = { bits }; return x.f; }
static inline uint32_t gfx_bits(float value) { union { float f; uint32_t u; } x = { value }; return x.u; }

#endif
