"""local_mpi: the MPI of this machine, as its compiler wrapper `mpicc` describes it.

Writes defs.bzl with HAS_MPI, for targets that are left out where there is none.
"""

_BUILD = """# Written by third_party/system/local_mpi.bzl
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "mpi",
    hdrs = glob(["include/**"]),
    includes = ["include"],
    linkopts = {linkopts},
    defines = ["OMPI_SKIP_MPICXX"],
    visibility = ["//visibility:public"],
)
"""

def _flags(ctx, mpicc, kind):
    result = ctx.execute([mpicc, "--showme:" + kind])
    return result.stdout.strip().split(" ") if result.return_code == 0 else []

def _impl(ctx):
    mpicc = ctx.which("mpicc")
    folders = _flags(ctx, mpicc, "incdirs") if mpicc else []
    has_mpi = bool(folders) and ctx.path(folders[0]).get_child("mpi.h").exists
    ctx.file("defs.bzl", "HAS_MPI = %s\n" % has_mpi)
    if not has_mpi:
        ctx.file("BUILD.bazel", "")
        return
    ctx.symlink(folders[0], "include")
    ctx.file("BUILD.bazel", _BUILD.format(linkopts = [
        "-L" + folder
        for folder in _flags(ctx, mpicc, "libdirs")
    ] + ["-l" + name for name in _flags(ctx, mpicc, "libs")]))

local_mpi = repository_rule(
    implementation = _impl,
    configure = True,
    environ = ["PATH"],
    local = True,
)
