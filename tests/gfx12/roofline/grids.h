/* Workgroups of launches. */
#ifndef ASHLAR_TESTS_GFX12_GRIDS_H
#define ASHLAR_TESTS_GFX12_GRIDS_H
static inline ash_gfx_grid ash_gfx_decode_grid(const ash_gfx_decode *a) { (void)a; return (ash_gfx_grid){ 1, 1, 1 }; }
static inline ash_gfx_grid ash_gfx_inputs_grid(const ash_gfx_inputs *a) { return (ash_gfx_grid){ a->tokens, 1, 1 }; }
static inline ash_gfx_grid ash_gfx_prefill_grid(const ash_gfx_prefill *a) { return (ash_gfx_grid){ ash_gfx_prefill_grid_x(a), ash_gfx_prefill_grid_y(a), 1 }; }
static inline ash_gfx_grid ash_gfx_attend_grid(const ash_gfx_attend *a) { (void)a; return (ash_gfx_grid){ 1, 1, 1 }; }
static inline ash_gfx_grid ash_gfx_attend_prefill_grid(const ash_gfx_attend *a) { (void)a; return (ash_gfx_grid){ 1, 1, 1 }; }
static inline ash_gfx_grid ash_gfx_kv_store_grid(const ash_gfx_attend *a) { (void)a; return (ash_gfx_grid){ 1, 1, 1 }; }
static inline uint64_t ash_gfx_attend_parts(uint32_t heads, uint32_t head_dim, uint32_t splits) { return (uint64_t)heads * ASH_GFX_DECODE_TOKENS * splits * (head_dim + 2); }
static inline uint32_t ash_gfx_attend_splits(uint32_t kv_heads, uint32_t context) { (void)kv_heads; (void)context; return 8; }
#endif
