"""Reading of machine code and of generated code, without a GPU or its compiler."""

from __future__ import annotations

from collections import Counter

from benchmarks.training.kernels import kept_bytes
from benchmarks.training.kernels_compiler import (
    Code,
    Graph,
    count_instructions,
    library_calls,
    resources,
)

USAGE = """
Resource usage:
 Common:
  GLOBAL:0
 Function triton_:
  REG:64 STACK:112 SHARED:8 LOCAL:0 CONSTANT[0]:740 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
MACHINE_CODE = """
        /*0000*/                   LDC R1, c[0x0][0x28] ;                   /* 0x00000a00ff017b82 */
                                                                            /* 0x000fe20000000800 */
        /*0010*/              @!P0 I2F.S8 R4, R2 ;                          /* 0x0000000402047306 */
        /*0020*/                   MUFU.RSQ R4, R4 ;                        /* 0x0000000400047308 */
        /*0030*/             @!UP1 UMOV UR4, URZ ;                          /* 0x0000003f00047882 */
        /*0040*/                   CALL.REL.NOINC `(.L_x_1) ;               /* 0x0000000000047944 */
        /*0050*/               @P1 EXIT ;                                   /* 0x000000000000194d */
        /*0060*/                   STG.E [R2.64], R4 ;                      /* 0x0000000402007986 */
        /*0070*/                   EXIT ;                                   /* 0x000000000000794d */
        /*0080*/                   MUFU.RCP R4, R4 ;                        /* 0x0000000400047308 */
        /*0090*/                   NOP;                                     /* 0x0000000000007918 */
"""


def test_registers_and_spilled_bytes() -> None:
    assert resources(USAGE) == (64, 112)


def test_subroutines_after_the_last_exit_are_not_counted() -> None:
    assert count_instructions(MACHINE_CODE) == (8, 2)


def code(threads: int, registers: int, shared_bytes: int = 0) -> Code:
    return Code("XBLOCK 1", threads, 256, registers, 0, shared_bytes, 984, 64)


def test_warps_of_a_multiprocessor() -> None:
    """As NVIDIA's occupancy calculator says for compute capability 9.0."""
    assert code(64, 64).warps == 32
    assert code(64, 255).warps == 8
    assert code(256, 32).warps == 64
    assert code(128, 33).warps == 48  # registers are allocated in units of 8 per thread
    assert code(32, 16).warps == 32  # blocks of one warp: at most 32
    assert code(128, 32, shared_bytes=49152).warps == 16
    assert code(64, 64).instructions_per_element == 246


def test_calls_of_libraries() -> None:
    generated = """
        extern_kernels.mm(arg0, arg1, out=buf1)
        buf2 = torch.ops.aten._scaled_dot_product_cudnn_attention.default(buf1, None, 0.0, True)
        extern_kernels.mm(buf2, arg3, out=buf4)
    """
    expected = Counter({"mm": 2, "_scaled_dot_product_cudnn_attention": 1})
    assert library_calls(generated) == expected


def test_hidden_states_are_kept_and_weights_are_not() -> None:
    inputs = {
        "primals_1": ((2, 8, 4), 128),
        "primals_2": ((4, 4), 32),
        "primals_3": ((1, 8, 4), 64),
        "mm_1": ((16, 6), 192),
        "tangents_1": ((2, 8, 4), 128),
    }
    kept = kept_bytes(Graph([], Counter(), inputs), 16)
    assert kept == {"primals_1 (2, 8, 4)": 8, "mm_1 (16, 6)": 12}
