"""unit: one idea of the code, NAME.h with NAME.cc and NAME_test.cc, whichever of them are there.

    unit(
        name = "sharded_writer",
        deps = [":safetensors", "//engine/base:error"],
        test_deps = [":test_folder"],     # besides deps and GoogleTest
    )

makes the library `sharded_writer` and, where sharded_writer_test.cc lies beside it, the test
`sharded_writer_test`. A unit of several files lists the others in `more`: NAME.h is what others
include; further public headers stand in `more_hdrs`.

program_test: a test of more than one unit, NAME.cc; GoogleTest comes with it.
"""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")

def unit(
        name,
        deps = [],
        more = [],
        more_hdrs = [],
        test_deps = [],
        test_size = "small",
        test_tags = [],
        test_data = [],
        testonly = False,
        **kwargs):
    """A library and its test.

    Args:
      name: of the library, and of its files without their endings.
      deps: of the library; the test has them too.
      more: further sources and private headers.
      more_hdrs: further headers that others may include.
      test_deps: what the test alone needs.
      test_size: "small" (a minute) or "medium" (five).
      test_tags: "sanitize", "threads": see test.sh.
      test_data: files that the test reads.
      testonly: for what tests alone may use.
      **kwargs: as for cc_library.
    """
    cc_library(
        name = name,
        srcs = native.glob([name + ".cc"]) + more,
        hdrs = native.glob([name + ".h"]) + more_hdrs,
        deps = deps,
        testonly = testonly,
        **kwargs
    )
    if native.glob([name + "_test.cc"]):
        program_test(
            name = name + "_test",
            size = test_size,
            data = test_data,
            tags = test_tags,
            deps = [":" + name] + [dep for dep in deps if dep not in test_deps] + test_deps,
        )

def program_test(name, deps, size = "small", **kwargs):
    """A test with GoogleTest's main.

    Args:
      name: of the test, and of its file without the ending.
      deps: besides GoogleTest.
      size: "small" (a minute), "medium" (five) or "large" (fifteen).
      **kwargs: as for cc_test.
    """
    cc_test(
        name = name,
        size = size,
        srcs = [name + ".cc"],
        deps = deps + [dep for dep in ["@gtest_main"] if dep not in deps],
        **kwargs
    )
