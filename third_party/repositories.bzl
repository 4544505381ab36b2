"""Every external repository of the project. All of them are folders of this machine."""

load("//third_party/system:local_mpi.bzl", "local_mpi")
load("//third_party/system:system_library.bzl", "system_library")

def _bazel_4_offline_overrides():
    """Replaces what Bazel 4.2.3 would download on its first build.

    Debian's build of 4.2.3 was made without a version label, so native.bazel_version is
    the empty string there and only there. Newer versions bring or fetch their own.
    """
    if native.bazel_version:
        return

    # Debian's own bazel-rules-cc is too new for Debian's own Bazel, hence the shim.
    native.local_repository(name = "rules_cc", path = "third_party/bazel_shims/rules_cc")
    native.local_repository(name = "rules_shell", path = "third_party/bazel_shims/rules_shell")
    native.local_repository(name = "rules_java", path = "/usr/share/bazel/rules/java")
    native.local_repository(
        name = "remote_coverage_tools",
        path = "third_party/bazel_shims/coverage_tools",
    )

def ingot_repositories():
    """For WORKSPACE: Bazel up to 7."""
    _bazel_4_offline_overrides()
    system_libraries()

def system_libraries():
    """The machine's own libraries; MODULE.bazel has them through extensions.bzl."""
    local_mpi(name = "local_mpi")

    # `files` maps a path on the machine to its place in the repository; {multiarch} is Debian's name
    # for the kind of machine. List what is to be
    # seen through the target; `includes` are the -isystem folders (default: include).
    system_library(
        name = "nlohmann_json",
        apt = "nlohmann-json3-dev",
        files = {"/usr/include/nlohmann": "include/nlohmann"},
    )
    system_library(
        name = "cli11",
        apt = "libcli11-dev",
        files = {"/usr/include/CLI": "include/CLI"},
    )
    system_library(
        name = "fmt",
        apt = "libfmt-dev",
        files = {"/usr/include/fmt": "include/fmt"},
        defines = ["FMT_HEADER_ONLY"],  # Debian has no archive of it, and the program needs no .so
    )
    system_library(
        name = "gtest",
        apt = "libgtest-dev",
        files = {
            "/usr/include/gtest": "include/gtest",
            "/usr/lib/{multiarch}/libgtest.a": "lib/libgtest.a",
        },
        linkopts = ["-pthread"],
    )
    system_library(
        name = "gtest_main",
        apt = "libgtest-dev",
        files = {"/usr/lib/{multiarch}/libgtest_main.a": "lib/libgtest_main.a"},
        deps = ["@gtest"],
    )

    # Single headers in /usr/include: the compiler finds them without any flag.
    system_library(
        name = "xxhash",
        apt = "libxxhash-dev",
        files = {"/usr/include/xxhash.h": "include/xxhash.h"},
        linkopts = ["-l:libxxhash.a"],
    )
    system_library(
        name = "pcre2",
        apt = "libpcre2-dev",
        files = {"/usr/include/pcre2.h": "include/pcre2.h"},
        linkopts = ["-l:libpcre2-8.a"],
    )
    system_library(
        name = "zlib",
        apt = "zlib1g-dev",
        files = {"/usr/include/zlib.h": "include/zlib.h"},
        linkopts = ["-l:libz.a"],
    )
    system_library(
        name = "zstd",
        apt = "libzstd-dev",
        files = {"/usr/include/zstd.h": "include/zstd.h"},
        linkopts = ["-l:libzstd.a"],
    )
    system_library(
        name = "utf8proc",
        apt = "libutf8proc-dev",
        files = {"/usr/include/utf8proc.h": "include/utf8proc.h"},
        linkopts = ["-l:libutf8proc.a"],
    )

    # SSE2 by what other CPUs have (backends/cpu/simd_lanes.h).
    system_library(
        name = "simde",
        apt = "libsimde-dev",
        files = {"/usr/include/simde": "include/simde"},
    )
