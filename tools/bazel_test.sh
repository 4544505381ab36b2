#!/usr/bin/env bash
# bazel_test.sh [BAZEL OPTION...] [TARGET...]   Runs `bazel test` (default target: //...) and counts.
#
#   tools/bazel_test.sh --config=asan //ops/...
#   tools/bazel_test.sh //ops/rms_norm:rms_norm_test --test_filter='*Bf16*'
#
# The last line is "N passed, N failed": GoogleTest cases, read from the JUnit files of the tests
# that this very call ran or found in the cache. A shell test counts as one case. A test target
# that did not build, crashed, timed out, leaked, or left before GoogleTest was done (exit(0) in a
# test: Bazel 4 takes that for success) counts as a failed case. Exit status 0 if nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.."

events=$(mktemp)
trap 'rm -f "$events"' EXIT

targets=(//...)
for argument in "$@"; do
  [[ $argument == -* ]] || targets=()
done
bazel test --keep_going --build_event_json_file="$events" "$@" "${targets[@]}"
status=$?

# Prints "PASSED FAILED SKIPPED", then the name of every failed case, for one JUnit file.
count_cases() {
  awk '
    function end_case() {
      if (in_case && failed) { bad++; names = names "\n" name }
      else if (in_case && skipped) skips++
      else if (in_case) good++
      in_case = failed = skipped = 0
    }
    BEGIN { RS = "<" }                                   # one record for each tag
    /^!\[CDATA\[/ { cdata = 1 }                          # whatever the test printed
    cdata { if (/\]\]>/) cdata = 0; next }
    /^testcase[ \n]/ {
      end_case()
      in_case = 1
      skipped = /result="(skipped|suppressed)"|status="notrun"/
      name = suite = $0
      sub(/^.*[ \n]name="/, "", name); sub(/".*$/, "", name)
      if (sub(/^.*classname="/, "", suite)) { sub(/".*$/, "", suite); name = suite "." name }
    }
    /^(failure|error)[ \n>]/ { failed = 1 }
    /^skipped[ \n>\/]/ { skipped = 1 }
    END { end_case(); printf "%d %d %d%s\n", good, bad, skips, names }
  ' "$1"
}

# The build events are one JSON object a line, which grep and sed can take apart.
label_of() { sed -n 's/^{"id":{"[a-zA-Z]*":{"label":"\([^"]*\)".*/\1/p'; }

passed=0 failed=0 skipped=0 complaints=()
declare -A seen=() is_cc_test=()
while IFS= read -r label; do is_cc_test[$label]=1; done < <(
  grep '^{"id":{"targetConfigured"' "$events" | grep '"targetKind":"cc_test rule"' | label_of)
while IFS= read -r event; do
  label=$(label_of <<<"$event")
  seen[$label]=1
  verdict=$(sed -n 's/.*"status":"\([A-Z_]*\)".*/\1/p' <<<"$event")
  xml=$(sed -n 's|.*"name":"test.xml","uri":"file://\([^"]*\)".*|\1|p' <<<"$event")
  good=0 bad=0 skips=0 names=()
  if [[ -n $xml && -s $xml ]]; then
    { read -r good bad skips; mapfile -t names; } < <(count_cases "$xml")
  fi
  if [[ $verdict != PASSED ]] && ((bad == 0)); then
    bad=1 names=("$verdict")  # e.g. a leak found after the last case, or no result file
  elif ((bad == 0)) && [[ -n ${is_cc_test[$label]:-} ]] && ! grep -q '<testsuites tests=' "$xml"; then
    good=0 bad=1 names=("left before GoogleTest was done")  # the file is Bazel's, not GoogleTest's
  fi
  ((passed += good, failed += bad, skipped += skips))
  for name in "${names[@]}"; do complaints+=("$label $name"); done
done < <(grep '^{"id":{"testResult"' "$events")

# Test targets that this configuration has, but that never ran: they did not build.
while IFS= read -r label; do
  [[ -n ${seen[$label]:-} ]] && continue
  ((failed += 1))
  complaints+=("$label did not build")
done < <(comm -23 \
  <(grep '^{"id":{"targetConfigured"' "$events" | grep '"testSize"' | label_of | sort -u) \
  <(grep '^{"id":{"targetCompleted"' "$events" | grep '"reason":"SKIPPED"' | label_of | sort -u))

if ((status != 0 && failed == 0)); then
  failed=1
  complaints+=("bazel itself failed, exit status $status")
fi
for complaint in "${complaints[@]}"; do echo "FAILED: $complaint"; done
((skipped > 0)) && echo "$skipped skipped (not possible on this machine)"
echo "$passed passed, $failed failed"
((failed == 0))
