"""isa_library: the same kernels compiled once for each x86-64 level, chosen at run time.

    isa_library(
        name = "rms_norm_simd",
        kernels = ["rms_norm_simd.cc"],   # compiled once for each entry of ISAS
        hdrs = ["rms_norm_simd.h"],       # declares the table of kernels with INGOT_KERNEL_TABLE
    )

In `kernels` all code stands in `namespace ingot::cpu::INGOT_ISA`, and no header with functions of
its own is included (no <vector>, <algorithm>, <string>, Eigen; <cmath> is no better): the linker
keeps one copy of every inline function of the program, and if it kept the AVX-512 copy of, say,
std::vector<float>::resize, the program would crash on an older CPU. `//backends/cpu:simd` has what
kernels need. The target `<name>_isa_leak_test` fails when code leaks out of its namespace.
"""

load("@rules_cc//cc:defs.bzl", "cc_library")
load("@rules_shell//shell:sh_test.bzl", "sh_test")

# Without it g++ vectorises loops with 256 bits even where 512 are there.
_WIDE = ["-mprefer-vector-width=512"]

# Order: slowest first; backends/cpu/isa.cc has the matching cpuid checks.
ISAS = {
    "base": [],
    "v3": ["-march=x86-64-v3"],  # AVX2, FMA, F16C: 2013
    "v4": ["-march=x86-64-v4"] + _WIDE,  # AVX-512 F, BW, CD, DQ, VL: 2017
    "v4_bf16": ["-march=x86-64-v4", "-mavx512vnni", "-mavx512bf16"] + _WIDE,  # 2020
}

# Kernels for tile registers, 2023, are files of their own: isas = ["amx"]. Else level amx has what
# v4_bf16 has.
_AMX = {"amx": ISAS["v4_bf16"] + ["-mamx-tile", "-mamx-bf16", "-mamx-int8"]}

# g++ 12 warns about its own AVX-512 headers (fixed in 13), and about wide vector types in the ABI,
# which only inlined functions pass here. Kernels may fuse a*b+c: each level rounds its own way.
_COPTS = [
    "-O3",
    "-ffp-contract=fast",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
    "-Wno-psabi",
]

_X86 = "@platforms//cpu:x86_64"

def isa_library(name, kernels, hdrs, deps = [], isas = ISAS.keys(), **kwargs):
    # What is not x86-64 has the base level; kernels of tiles are empty tables there.
    levels = [isa for isa in isas if isa in ("base", "amx")]
    for isa in isas:
        cc_library(
            name = name + "_" + isa,
            srcs = kernels,
            hdrs = hdrs,
            # After --copt on the command line, so these -march and -O win.
            copts = _COPTS + select({
                _X86: dict(ISAS, **_AMX)[isa],
                "//conditions:default": [],
            }),
            local_defines = ["INGOT_ISA=" + isa],
            visibility = ["//visibility:private"],
            deps = ["//backends/cpu:simd"] + deps,
        )
    cc_library(
        name = name,
        hdrs = hdrs,
        deps = ["//backends/cpu:simd"] + deps + select({
            _X86: [":" + name + "_" + isa for isa in isas],
            "//conditions:default": [":" + name + "_" + isa for isa in levels],
        }),
        **kwargs
    )
    native.filegroup(
        name = name + "_archives",
        srcs = select({
            _X86: [":%s_%s" % (name, isa) for isa in isas if isa != "base"],
            "//conditions:default": [],
        }),
    )
    sh_test(
        name = name + "_isa_leak_test",
        size = "small",
        srcs = ["//tools:isa_leak_test.sh"],
        target_compatible_with = [_X86],
        args = [name, "$(locations :%s_archives)" % name],
        data = [":%s_archives" % name],
    )
