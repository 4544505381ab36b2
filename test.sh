#!/usr/bin/env bash
# test.sh [BAZEL OPTION...]   Installs what is missing, builds everything, runs every test.
#
# Four parts: the format of the sources; all tests; the input fuzzers and the core once more under
# the address and undefined-behaviour sanitizers; what threads share under the thread sanitizer. The
# last line is "N passed, N failed", the sum of the real test results; the exit status is 0 only if
# nothing failed.
set -uo pipefail
cd "$(dirname "$0")"
./setup.sh || exit 1

passed=0 failed=0
# count COMMAND...: runs it, shows what it prints, adds its last line "N passed, N failed" to the sum.
count() {
  local line
  line=$("$@" | tee >(cat >&2) | tail -n 1)
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    ((passed += BASH_REMATCH[1], failed += BASH_REMATCH[2]))
  else
    echo "FAILED: no result from: $*"
    ((failed += 1))
  fi
}

if tools/format.sh --check; then
  ((passed += 1))
else
  echo "FAILED: sources are not formatted: run tools/format.sh"
  ((failed += 1))
fi
count tools/bazel_test.sh "$@"
count tools/bazel_test.sh --config=asan --build_tests_only --test_tag_filters=sanitize "$@"
count tools/bazel_test.sh --config=tsan --build_tests_only --test_tag_filters=threads "$@"

echo "$passed passed, $failed failed"
((failed == 0))
