/* What is counted: each instruction by what it occupies, memory by width, and the cycles that the issue port of one
 * SIMD needs for it. */
#include <string.h>

#include "tests/gfx12/machine.h"

/* Cycles on the port that vector and matrix instructions share, for a wave of 32 lanes. Matrix: from the peak rates
 * that AMD publishes for gfx1201. Transcendental: a quarter of the rate, as for every RDNA. 32-bit integer products:
 * also a quarter, which is an assumption (RDNA's earlier generations; none published for gfx12). Everything else
 * goes through other ports and is taken to overlap. */
static const struct { const char *name; uint8_t cycles; } events[GFX_EVENTS] = {
    [GFX_VALU] = { "vector", 1 }, [GFX_VALU_DUAL] = { "vector, dual", 1 },
    [GFX_VALU_TRANSCENDENTAL] = { "vector, transcendental", 4 }, [GFX_VALU_PRODUCT] = { "vector, 32-bit product", 4 },
    [GFX_WMMA_IU8] = { "matrix iu8", 8 }, [GFX_WMMA_FP8] = { "matrix fp8", 8 }, [GFX_WMMA_F16] = { "matrix f16", 16 },
    [GFX_WMMA_BF16] = { "matrix bf16", 16 }, [GFX_SALU] = { "scalar", 0 }, [GFX_SMEM] = { "scalar load", 0 },
    [GFX_BRANCH] = { "branch", 0 }, [GFX_WAITS] = { "wait", 0 }, [GFX_BARRIERS] = { "barrier", 0 },
    [GFX_HINTS] = { "hint", 0 }, [GFX_PREFETCH] = { "prefetch", 0 },
    [GFX_LOAD_8] = { "load b8", 0 }, [GFX_LOAD_16] = { "load b16", 0 }, [GFX_LOAD_32] = { "load b32", 0 },
    [GFX_LOAD_64] = { "load b64", 0 }, [GFX_LOAD_96] = { "load b96", 0 }, [GFX_LOAD_128] = { "load b128", 0 },
    [GFX_STORE_8] = { "store b8", 0 }, [GFX_STORE_16] = { "store b16", 0 }, [GFX_STORE_32] = { "store b32", 0 },
    [GFX_STORE_64] = { "store b64", 0 }, [GFX_STORE_96] = { "store b96", 0 }, [GFX_STORE_128] = { "store b128", 0 },
    [GFX_ATOMIC] = { "atomic", 0 },
    [GFX_LDS_LOAD_8] = { "LDS load b8", 0 }, [GFX_LDS_LOAD_16] = { "LDS load b16", 0 },
    [GFX_LDS_LOAD_32] = { "LDS load b32", 0 }, [GFX_LDS_LOAD_64] = { "LDS load b64", 0 },
    [GFX_LDS_LOAD_96] = { "LDS load b96", 0 }, [GFX_LDS_LOAD_128] = { "LDS load b128", 0 },
    [GFX_LDS_STORE_8] = { "LDS store b8", 0 }, [GFX_LDS_STORE_16] = { "LDS store b16", 0 },
    [GFX_LDS_STORE_32] = { "LDS store b32", 0 }, [GFX_LDS_STORE_64] = { "LDS store b64", 0 },
    [GFX_LDS_STORE_96] = { "LDS store b96", 0 }, [GFX_LDS_STORE_128] = { "LDS store b128", 0 },
    [GFX_LDS_ATOMICS] = { "LDS atomic", 0 }, [GFX_LDS_LANES] = { "LDS permutation", 0 },
    [GFX_SCRATCH_LOAD] = { "scratch load", 0 }, [GFX_SCRATCH_STORE] = { "scratch store", 0 },
};

const char *gfx_event_name(gfx_event e) { return events[e].name; }
unsigned gfx_event_cycles(gfx_event e) { return events[e].cycles; }

static gfx_event by_width(gfx_event narrowest, unsigned bytes)
{
    return narrowest + (bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : bytes == 8 ? 3 : bytes == 12 ? 4 : 5);
}

static bool starts(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

static gfx_event of_vector(const gfx_insn *i)
{
    static const char *const products[] = { "v_mul_lo_u32", "v_mul_hi_", "v_mad_co_u64_u32", "v_mad_co_i64_i32" };
    if (i->dual)
        return GFX_VALU_DUAL;
    if (i->op->flags & GFX_TRANSCENDENTAL)
        return GFX_VALU_TRANSCENDENTAL;
    for (size_t k = 0; k < sizeof products / sizeof *products; k++)
        if (starts(i->op->name, products[k]))
            return GFX_VALU_PRODUCT;
    return GFX_VALU;
}

static gfx_event of_matrix(const char *name)
{
    return strstr(name, "iu8") ? GFX_WMMA_IU8 : strstr(name, "_bf16") ? GFX_WMMA_BF16
         : strstr(name, "x16_f16") ? GFX_WMMA_F16 : GFX_WMMA_FP8;
}

void gfx_classify(gfx_insn *i)
{
    const gfx_op *op = i->op;
    bool two = strstr(op->name, "2addr");
    unsigned bytes = op->flags & GFX_WIDE_ACCESS ? op->param * (two ? 2u : 1u) : op->param & 0x1fu;
    switch (op->class) {
    case GFX_VECTOR:
    case GFX_VECTOR_COMPARE: i->event = of_vector(i); break;
    case GFX_MATRIX: i->event = of_matrix(op->name); break;
    case GFX_SCALAR: i->event = op->flags & GFX_TRANSCENDENTAL ? GFX_VALU_TRANSCENDENTAL : GFX_SALU; break;
    case GFX_SCALAR_BRANCH: i->event = GFX_BRANCH; break;
    case GFX_SCALAR_LOAD: i->event = GFX_SMEM; i->bytes = (uint8_t)bytes; break;
    case GFX_WAIT: i->event = GFX_WAITS; break;
    case GFX_BARRIER: i->event = GFX_BARRIERS; break;
    case GFX_HINT:
    case GFX_END: i->event = strstr(op->name, "prefetch") ? GFX_PREFETCH : GFX_HINTS; break;
    case GFX_GLOBAL_LOAD: i->event = by_width(GFX_LOAD_8, bytes); i->bytes = (uint8_t)bytes; break;
    case GFX_GLOBAL_STORE: i->event = by_width(GFX_STORE_8, bytes); i->bytes = (uint8_t)bytes; break;
    case GFX_DS_LOAD: i->event = by_width(GFX_LDS_LOAD_8, bytes); i->bytes = (uint8_t)bytes; break;
    case GFX_DS_STORE: i->event = by_width(GFX_LDS_STORE_8, bytes); i->bytes = (uint8_t)bytes; break;
    case GFX_SCRATCH:
        i->event = op->flags & GFX_NO_DST ? GFX_SCRATCH_STORE : GFX_SCRATCH_LOAD;
        i->bytes = (uint8_t)bytes;
        break;
    case GFX_GLOBAL_ATOMIC:
    case GFX_DS_ATOMIC:
        i->event = op->class == GFX_GLOBAL_ATOMIC ? GFX_ATOMIC : GFX_LDS_ATOMICS;
        i->bytes = op->param & GFX_ATOMIC_WIDE ? 8 : 4;
        break;
    case GFX_DS_LANES: i->event = GFX_LDS_LANES; i->bytes = 4; break;
    }
}

uint64_t gfx_issue_cycles(const gfx_stats *s)
{
    uint64_t cycles = 0;
    for (int e = 0; e < GFX_EVENTS; e++)
        cycles += s->insns[e] * events[e].cycles;
    return cycles;
}

uint64_t gfx_total(const uint64_t *counts, gfx_event first, gfx_event last)
{
    uint64_t sum = 0;
    for (unsigned e = first; e <= last; e++)
        sum += counts[e];
    return sum;
}

void gfx_stats_join(gfx_stats *to, const gfx_stats *sum)
{
    for (int e = 0; e < GFX_EVENTS; e++) {
        to->insns[e] += sum->insns[e];
        to->bytes[e] += sum->bytes[e];
    }
    to->cached += sum->cached;
    to->waves += sum->waves;
    to->awaited += sum->awaited;
    to->in_flight += sum->in_flight;
    to->wave_cycles_max = sum->wave_cycles_max > to->wave_cycles_max ? sum->wave_cycles_max : to->wave_cycles_max;
}

void gfx_stats_add(gfx_stats *to, const gfx_stats *wave)
{
    gfx_stats one = *wave;
    one.waves = 1;
    one.wave_cycles_max = gfx_issue_cycles(wave);
    gfx_stats_join(to, &one);
}

/* A wave of 32 lanes takes registers by 24; a SIMD has 1536 of each lane and holds 16 waves. A workgroup's four
 * SIMDs share 128 KiB of LDS, given out by 512 bytes. */
unsigned gfx_occupancy(const gfx_kernel *k, unsigned work_items)
{
    unsigned vgprs = (k->vgprs + 23) / 24 * 24, waves = (work_items + GFX_LANES - 1) / GFX_LANES;
    unsigned most = vgprs <= 96 ? 16 : 1536 / vgprs, lds = (k->lds_bytes + 511) / 512 * 512;
    unsigned groups = most * 4 / waves, by_lds = lds ? 131072 / lds : groups;
    groups = by_lds < groups ? by_lds : groups;
    return groups * waves / 4;
}
