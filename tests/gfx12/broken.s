// Kernels that are wrong on purpose and that no compiler writes. See broken.hip. Arguments: x, y, n.
.include "tests/gfx12/kernel.inc"

kernel vector_unwritten
    v_add_f32 v2, v3, v1
finish vector_unwritten

// A register that nothing wrote may move about, as compilers do; it may not be used.
kernel moved_unwritten
    v_mov_b32 v2, v3
    v_mov_b32 v4, s9
    v_dual_mov_b32 v5, v4 :: v_dual_mov_b32 v6, v2
    global_store_b32 v1, v6, s[6:7]
finish moved_unwritten

// Lanes below 16 alone have been written.
kernel lanes_unwritten
    s_mov_b32 exec_lo, 0xffff
    v_mov_b32 v2, 0
    s_mov_b32 exec_lo, -1
    v_add_f32 v2, v2, v2
finish lanes_unwritten

kernel scalar_unwritten
    s_add_co_u32 s8, s9, 1
finish scalar_unwritten

// The same of scalars, which a pair takes along.
kernel scalar_moved_unwritten
    s_mov_b32 s8, s9
    s_mov_b32 s11, 0
    s_mov_b64 s[12:13], s[8:9]
    s_mov_b64 s[10:11], s[12:13]
    s_add_co_u32 s12, s11, 1
finish scalar_moved_unwritten

kernel condition_unwritten
    s_cselect_b32 s8, 1, 2
finish condition_unwritten

kernel no_wait_for_load
    global_load_b32 v2, v1, s[4:5]
    v_add_f32 v3, v2, v2
finish no_wait_for_load

// The wait lets the last load be under way still.
kernel wait_for_too_few
    global_load_b32 v2, v1, s[4:5]
    global_load_b32 v3, v1, s[4:5]
    s_wait_loadcnt 0x1
    v_add_f32 v3, v2, v3
finish wait_for_too_few

kernel no_wait_for_lds
    ds_store_b32 v1, v1
    ds_load_b32 v2, v1
    v_add_f32 v3, v2, v2
finish no_wait_for_lds

kernel no_wait_for_scalar
    s_load_b32 s8, s[4:5], 0x0
    s_add_co_u32 s8, s8, 1
finish no_wait_for_scalar

kernel overwrites_a_load
    global_load_b32 v2, v1, s[4:5]
    v_mov_b32 v2, 0
finish overwrites_a_load

kernel overwrites_a_scalar_load
    s_load_b32 s8, s[4:5], 0x0
    s_mov_b32 s8, 0
finish overwrites_a_scalar_load

// Two loads into one register, from memory and from LDS, come back in any order.
kernel two_loads_into_one
    ds_store_b32 v1, v1
    global_load_b32 v2, v1, s[4:5]
    ds_load_b32 v2, v1
finish two_loads_into_one

kernel waits_without_signal
    s_barrier_wait -1
finish waits_without_signal

kernel signals_twice
    s_barrier_signal -1
    s_barrier_signal -1
    s_barrier_wait -1
finish signals_twice

// Between signal and wait a wave is ordered with nobody.
kernel writes_before_the_wait
    ds_store_b32 v1, v1
    s_barrier_signal -1
    v_xor_b32 v2, 0x80, v1
    ds_store_b32 v2, v1
    s_barrier_wait -1
finish writes_before_the_wait

// The address, the data: what a store sends must have been written as well.
kernel store_of_unwritten
    global_store_b32 v1, v3, s[6:7]
finish store_of_unwritten

kernel address_unwritten
    global_load_b32 v2, v3, s[4:5]
finish address_unwritten

// Only one half of a pair has arrived.
kernel base_unwritten
    s_mov_b32 s8, s4
    global_load_b32 v2, v1, s[8:9]
finish base_unwritten

kernel no_wait_for_address
    global_load_b32 v2, v1, s[4:5]
    global_load_b32 v3, v2, s[4:5]
finish no_wait_for_address

kernel matrix_unwritten
    v_dual_mov_b32 v2, 0 :: v_dual_mov_b32 v3, 0
    v_wmma_i32_16x16x16_iu8 v[16:23], v[2:3], v[4:5], 0
finish matrix_unwritten

kernel no_wait_for_matrix
    v_dual_mov_b32 v4, 0 :: v_dual_mov_b32 v5, 0
    v_mov_b32 v3, 0
    global_load_b32 v2, v1, s[4:5]
    v_wmma_i32_16x16x16_iu8 v[16:23], v[2:3], v[4:5], 0
finish no_wait_for_matrix

// The wait is for another counter.
kernel waits_for_another_counter
    global_load_b32 v2, v1, s[4:5]
    s_wait_dscnt 0x0
    s_wait_kmcnt 0x0
    v_add_f32 v3, v2, v2
finish waits_for_another_counter

// Scalar loads come back in any order: one of two says nothing.
kernel waits_for_one_of_two_scalars
    s_load_b32 s8, s[4:5], 0x0
    s_load_b32 s9, s[4:5], 0x4
    s_wait_kmcnt 0x1
    s_add_co_u32 s8, s8, 1
finish waits_for_one_of_two_scalars

kernel atomic_beyond
    v_mov_b32 v2, 1
    global_atomic_add_u32 v1, v2, s[6:7] offset:256
finish atomic_beyond

kernel lds_atomic_unwritten
    ds_add_u32 v1, v1
finish lds_atomic_unwritten

kernel scratch_beyond
    scratch_store_b32 off, v1, off offset:12
    scratch_store_b32 off, v1, off offset:16
finish scratch_beyond, scratch=16

// The address is a lane's own.
kernel scratch_beyond_in_part
    v_and_b32 v2, 20, v1
    scratch_load_b32 v3, v2, off
finish scratch_beyond_in_part, scratch=16

kernel mask_unwritten
    v_cndmask_b32 v2, v1, v1, vcc_lo
finish mask_unwritten

kernel scale_unwritten
    v_div_fmas_f32 v2, v1, v1, v1
finish scale_unwritten

kernel branch_unwritten
    s_cbranch_vccz .Lbranch
.Lbranch:
finish branch_unwritten

kernel no_wait_for_mask
    s_load_b32 vcc_lo, s[4:5], 0x0
    v_cndmask_b32 v2, v1, v1, vcc_lo
finish no_wait_for_mask

kernel below_every_buffer
    v_dual_mov_b32 v2, 64 :: v_dual_mov_b32 v3, 0
    global_load_b32 v4, v[2:3], off
finish below_every_buffer

kernel runs_on
    v_mov_b32 v2, 0
finish runs_on, end=0

kernel another_barrier
    s_barrier_signal 1
finish another_barrier

kernel waits_at_another_barrier
    s_barrier_signal -1
    s_barrier_wait 1
finish waits_at_another_barrier

kernel rounds_up
    s_round_mode 0x1
finish rounds_up

kernel flushes_denormals
    s_denorm_mode 0xc
finish flushes_denormals
