"""The machine's own libraries, for MODULE.bazel."""

load("//third_party:repositories.bzl", "system_libraries")

system = module_extension(implementation = lambda _: system_libraries())
