"""What rules_shell gives newer versions of Bazel, for 4.2.3, which has it built in."""

sh_test = native.sh_test
