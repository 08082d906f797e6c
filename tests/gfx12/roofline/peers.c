/* What others have published of gfx1201, and which of the projections each figure stands beside. */
#include <string.h>

#include "tests/gfx12/roofline/roofline.h"

/* The best known of each kind. */
const roof_peer roof_peers[] = {
    { ROOF_DECODE, "qwen-7b", "q4_k_m", 4, 1, 115, "Qwen3-8B Q4_K_M",
      "llama.cpp Vulkan: 114 to 116 (86 to 91% of 640 GB/s)" },
    { ROOF_DECODE, "llama-8b", "q4_k_m", 4, 1, 95, "Llama-8B Q4_K_M", "llama.cpp HIP" },
    { ROOF_DECODE, "llama-8b", NULL, 4, 1, 111.6, "8B, 4 bits in tiles of 32 x 64",
      "RDNA-gfx1201 Q4_RDNA: 96.5 to 111.6" },
    { ROOF_DECODE, "llama-8b", "fp8", 8, 1, 52, "8B FP8", "ATOM/aiter, 1 stream" },
    { ROOF_DECODE, "llama-8b", "fp8", 8, 8, 275, "8B FP8", "ATOM/aiter, 8 streams" },
    { ROOF_PREFILL, "llama-8b", "q4_k_m", 4, 0, 4158, "Llama-8B Q4_K_M",
      "llama.cpp HIP, 2,048 tokens (34% of the F16 peak)" },
    { ROOF_PREFILL, "llama-8b", "q8_0", 8, 0, 4672, "8B Q8_0", "llama.cpp HIP (19% of the INT8 peak)" },
    { ROOF_GEMM, NULL, NULL, 16, 0, 115e12, "F16 GEMM", "hipBLASLt: 114 to 116 (58% of the F16 peak)" },
    { ROOF_ATTENTION, NULL, NULL, 16, 0, 103e12, "flash attention", "gcnasm (53% of the F16 peak)" },
};
const uint32_t roof_peer_count = sizeof roof_peers / sizeof *roof_peers;

static bool of_this_size(const char *model) { return strstr(model, "7b") || strstr(model, "8b"); }

static uint32_t bits_of(const char *recipe)
{
    return strstr(recipe, "16") ? 16 : strcmp(recipe, "fp8") == 0 ? 8 : (uint32_t)(recipe[1] - '0');
}

/* Of the same kind of pass. */
static bool comparable(const roof_peer *p, const roof_result *r)
{
    return p->stands_for && p->work == r->work && (r->work != ROOF_DECODE || p->streams == r->tokens);
}

bool roof_peer_same(const roof_peer *p, const roof_result *r)
{
    return comparable(p, r) && strcmp(p->stands_for, r->model) == 0 && p->recipe && strcmp(p->recipe, r->type) == 0;
}

bool roof_peer_near(const roof_peer *p, const roof_result *r)
{
    return comparable(p, r) && !roof_peer_same(p, r) && of_this_size(r->model) && p->bits == bits_of(r->type);
}

static void show(FILE *to, const roof_result *r, const char *how, const roof_peer *p)
{
    fprintf(to, "  %s: %7.1f tok/s, %s, %s; projected %.2f times that\n", how, p->figure, p->what, p->who,
            r->tokens / roof_seconds(r, 3e-6) / p->figure);
}

void roof_show_peers(FILE *to, const roof_result *r)
{
    bool any = false;
    for (uint32_t i = 0; i < roof_peer_count; i++)
        if (roof_peer_same(&roof_peers[i], r)) {
            show(to, r, "published", &roof_peers[i]);
            any = true;
        }
    if (!any)
        fprintf(to, "  no published figure for %s %s\n", r->model, r->type);
    for (uint32_t i = 0; i < roof_peer_count; i++)
        if (roof_peer_near(&roof_peers[i], r))
            show(to, r, "published of the like", &roof_peers[i]);
}

static void show_short(FILE *to, const roof_peer *p)
{
    bool kernel = !p->stands_for;
    fprintf(to, "; published: %.*f %s, %s, %s", kernel ? 0 : 1, kernel ? p->figure / 1e12 : p->figure,
            kernel ? "T" : "tok/s", p->what, p->who);
}

void roof_show_beside(FILE *to, const roof_result *r, roof_work work)
{
    bool any = false;
    for (uint32_t i = 0; i < roof_peer_count; i++) {
        const roof_peer *p = &roof_peers[i];
        if (p->stands_for ? p->work == work && roof_peer_same(p, r) : p->work == work) {
            show_short(to, p);
            any = true;
        }
    }
    fprintf(to, "%s\n", any ? "" : "; no published figure");
}
