// Workgroups and waves that hand results to each other through global memory, rightly and in every wrong way
// (tests/unit/test_gfx12_races.c). Arguments: x, y, n; y is zeros. Workgroups of 64.
.include "tests/gfx12/kernel.inc"

// Each workgroup writes 256 bytes; the last one to count up reads those of the other. Wave 0 counts, behind a barrier.
// at: where the first ones lie in y; lines of it that the interpreter follows as one have 64.
.macro hand_on name, write_back=1, wait=1, count=1, scope=SCOPE_DEV, invalidate=1, load_scope=SCOPE_CU, late=0, at=0
kernel \name
    s_lshl_b32 s8, ttmp9, 8
    v_add_nc_u32 v2, s8, v1
    v_mov_b32 v3, 1.0
    global_store_b32 v2, v3, s[6:7] offset:\at
.if \write_back
    global_wb scope:SCOPE_DEV
.endif
.if \wait
    s_wait_storecnt 0x0
.endif
.if \late
    global_store_b32 v2, v3, s[6:7] offset:\at
.endif
    s_barrier_signal -1
    s_barrier_wait -1
    s_mov_b32 s10, ttmp9
.if \count
    s_mov_b32 s9, exec_lo
    v_cmpx_eq_u32 0, v0
    s_cbranch_execz .Lcounted\@
    v_mov_b32 v4, 0
    v_mov_b32 v5, 1
    global_atomic_add_u32 v6, v4, v5, s[6:7] offset:768 th:TH_ATOMIC_RETURN scope:\scope
    s_wait_loadcnt 0x0
    ds_store_b32 v4, v6
    s_wait_dscnt 0x0
.Lcounted\@:
    s_mov_b32 exec_lo, s9
    s_barrier_signal -1
    s_barrier_wait -1
    v_mov_b32 v4, 0
    ds_load_b32 v6, v4
    s_wait_dscnt 0x0
    v_readfirstlane_b32 s10, v6
.endif
    s_cmp_eq_u32 s10, 0
    s_cbranch_scc1 .Ldone\@
.if \invalidate
    global_inv scope:SCOPE_DEV
.endif
    s_xor_b32 s8, s8, 0x100
    v_add_nc_u32 v2, s8, v1
    global_load_b32 v3, v2, s[6:7] offset:\at scope:\load_scope
    s_wait_loadcnt 0x0
.Ldone\@:
finish \name
.endm

hand_on handed_on
hand_on handed_on_to_wide_loads, invalidate=0, load_scope=SCOPE_DEV
hand_on no_write_back, write_back=0
hand_on no_wait_for_stores, wait=0
hand_on stores_behind_the_release, late=1
hand_on counted_in_the_unit, scope=SCOPE_CU
hand_on no_count, count=0
hand_on no_invalidate, invalidate=0
hand_on parts_handed_on, at=20
hand_on parts_with_no_write_back, at=20, write_back=0
hand_on parts_with_no_invalidate, at=20, invalidate=0

// Each wave writes 128 bytes and reads those of the other one.
.macro pass_over name, wait=1, barrier=1, invalidate=1, load_scope=SCOPE_CU
kernel \name
    v_mov_b32 v3, 1.0
    global_store_b32 v1, v3, s[6:7]
.if \wait
    s_wait_storecnt 0x0
.endif
.if \barrier
    s_barrier_signal -1
    s_barrier_wait -1
.endif
.if \invalidate
    global_inv scope:SCOPE_SE
.endif
    v_xor_b32 v2, 0x80, v1
    global_load_b32 v3, v2, s[6:7] scope:\load_scope
    s_wait_loadcnt 0x0
finish \name
.endm

pass_over passed_over
pass_over passed_over_to_wide_loads, invalidate=0, load_scope=SCOPE_SE
pass_over passed_with_no_wait, wait=0
pass_over passed_with_no_barrier, barrier=0
pass_over passed_with_no_invalidate, invalidate=0

// Each wave writes 128 bytes, then one lane's dword again, and reads behind a barrier between what the other one wrote
// first: all but that dword, or that too.
.macro write_over name, all=0, barrier=1, lane=0
kernel \name
    v_mov_b32 v3, 1.0
    v_and_b32 v4, 31, v0
    global_store_b32 v1, v3, s[6:7]
    s_wait_storecnt 0x0
.if \barrier
    s_barrier_signal -1
    s_barrier_wait -1
    global_inv scope:SCOPE_SE
.endif
    s_mov_b32 s9, exec_lo
    v_cmpx_eq_u32 \lane, v4
    global_store_b32 v1, v3, s[6:7]
    s_mov_b32 exec_lo, s9
    v_xor_b32 v2, 0x80, v1
.if !\all
    v_cmpx_ne_u32 \lane, v4
.endif
    global_load_b32 v3, v2, s[6:7]
    s_wait_loadcnt 0x0
finish \name
.endm

write_over beside_a_part
write_over at_a_part, all=1
write_over at_a_later_part, all=1, lane=5
write_over beside_a_part_with_no_barrier, barrier=0

// Each wave writes four bytes with byte and half stores, and reads what is its own, or the other one's.
.macro narrow name, other=0
kernel \name
    v_mov_b32 v3, 1.0
    global_store_b16 v1, v3, s[6:7]
    global_store_b8 v1, v3, s[6:7] offset:2
    s_wait_storecnt 0x0
.if \other
    v_xor_b32 v1, 0x80, v1
.endif
    global_load_u16 v3, v1, s[6:7] offset:2
    s_wait_loadcnt 0x0
finish \name
.endm

narrow narrow_of_its_own
narrow narrow_of_another, other=1

// Two waves write a half each of the same dwords, and read what is their own: who wrote such a dword is not followed.
kernel halves_of_a_dword
    v_mov_b32 v3, 1.0
    v_and_b32 v2, 31, v0
    v_lshrrev_b32 v4, 5, v0
    v_lshlrev_b32 v4, 1, v4
    v_lshl_or_b32 v2, v2, 2, v4
    global_store_b16 v2, v3, s[6:7]
    s_wait_storecnt 0x0
    s_barrier_signal -1
    s_barrier_wait -1
    global_load_u16 v3, v2, s[6:7]
    s_wait_loadcnt 0x0
finish halves_of_a_dword

// The scalar cache knows of no store.
kernel scalar_of_stored
    v_mov_b32 v3, 1.0
    global_store_b32 v1, v3, s[6:7]
    s_wait_storecnt 0x0
    s_load_b32 s8, s[6:7], 0x0
    s_wait_kmcnt 0x0
finish scalar_of_stored

// Each wave leaves which one it was to come, in a place of its own.
kernel takes_a_ticket
    v_and_b32 v2, 31, v0
    v_cmpx_eq_u32 0, v2
    v_mov_b32 v4, 0
    v_mov_b32 v5, 1
    global_atomic_add_u32 v6, v4, v5, s[4:5] th:TH_ATOMIC_RETURN scope:SCOPE_DEV
    v_lshrrev_b32 v1, 5, v1
    s_wait_loadcnt 0x0
    global_store_b32 v1, v6, s[6:7]
finish takes_a_ticket
