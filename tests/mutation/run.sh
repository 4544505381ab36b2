#!/usr/bin/env bash
# run.sh [--check] [--scratch FOLDER] [NUMBER|FIRST-LAST|PATTERN...]
#
# Plants the mutations of mutations.txt one by one, builds and runs the tests that should notice each, and says
# which did. It works in a git worktree of HEAD outside the tree (FOLDER, /tmp/ingot-mutation), which stays for
# the next call; remove it with `git worktree remove --force FOLDER`. Without arguments all are planted;
# PATTERN is looked for in the file's name and in the reason. The exit status is 0 if none survived but those
# whose `equivalent:` line says why they must.
#
#   --check   plants none, and only proves that each original text is there exactly once in its file
#
# An entry of mutations.txt:
#   == FILE
#   why: what would be wrong
#   tests: //target:test...
#   filter: GOOGLETEST_FILTER        optional
#   equivalent: why nothing can notice it   optional
#   - the original text, a line each, exactly as it stands (the first line may be a part of one)
#   + what it becomes; none: it is removed
set -uo pipefail

here=$(cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")" && pwd)
root=$(cd "$here/../.." && pwd)
list=$here/mutations.txt
scratch=/tmp/ingot-mutation
check=no chosen=()
while (($# > 0)); do
  case $1 in
    --check) check=yes ;;
    --scratch) scratch=$2; shift ;;
    *) chosen+=("$1") ;;
  esac
  shift
done

declare -a files whys tests filters equivalents originals replacements
count=0
while IFS= read -r line; do
  case $line in
    '== '*) ((count += 1)); files[count]=${line#== } originals[count]='' replacements[count]='' ;;
    'why: '*) whys[count]=${line#why: } ;;
    'tests: '*) tests[count]=${line#tests: } ;;
    'filter: '*) filters[count]=${line#filter: } ;;
    'equivalent: '*) equivalents[count]=${line#equivalent: } ;;
    '- '*) originals[count]+=${originals[count]:+$'\n'}${line#- } ;;
    '+ '*) replacements[count]+=${replacements[count]:+$'\n'}${line#+ } ;;
    '' | '#'*) ;;
    *) echo "mutations.txt: not understood: $line"; exit 2 ;;
  esac
done <"$list"

# Prints the text of a file in folder $1 with mutation $2 in it. False unless the original is there once.
mutate() {
  [[ -f $1/${files[$2]} && -n ${originals[$2]} ]] || return 1
  ORIGINAL=${originals[$2]} REPLACEMENT=${replacements[$2]-} LC_ALL=C awk '
    { text = text $0 "\n" }
    END {
      original = ENVIRON["ORIGINAL"]
      first = index(text, original)
      if (first == 0) exit 1
      rest = substr(text, first + length(original))
      if (index(rest, original) > 0) exit 1
      printf "%s%s%s", substr(text, 1, first - 1), ENVIRON["REPLACEMENT"], rest
    }' "$1/${files[$2]}"
}

if [[ $check == yes ]]; then
  bad=0
  for ((i = 1; i <= count; ++i)); do
    mutate "$root" "$i" >/dev/null || { echo "mutation $i: its original is not there once: ${files[i]}"; ((bad += 1)); }
    [[ -n ${whys[i]-} && -n ${tests[i]-} && ${originals[i]} != "${replacements[i]}" ]] ||
      { echo "mutation $i: no reason, no tests, or no change"; ((bad += 1)); }
  done
  echo "$count mutations, $bad that no longer apply"
  ((bad == 0 && count >= 60))
  exit
fi

is_chosen() {
  ((${#chosen[@]} == 0)) && return 0
  local each
  for each in "${chosen[@]}"; do
    if [[ $each =~ ^[0-9]+$ ]]; then
      (($1 == each)) && return 0
    elif [[ $each =~ ^([0-9]+)-([0-9]+)$ ]]; then
      (($1 >= BASH_REMATCH[1] && $1 <= BASH_REMATCH[2])) && return 0
    elif [[ ${files[$1]} == *"$each"* || ${whys[$1]} == *"$each"* ]]; then
      return 0
    fi
  done
  return 1
}

if [[ -e $scratch/.git ]]; then
  git -C "$scratch" checkout -q --force --detach "$(git -C "$root" rev-parse HEAD)" || exit 2
else
  git -C "$root" worktree add -q --detach "$scratch" HEAD || exit 2
fi
[[ -f $root/.bazelrc.user ]] && cp "$root/.bazelrc.user" "$scratch/"
restore() { git -C "$scratch" checkout -q --force; }
trap restore EXIT

killed=0 survived=() equivalent=() broken=()
for ((i = 1; i <= count; ++i)); do
  is_chosen "$i" || continue
  if ! mutate "$scratch" "$i" >"$scratch.text"; then
    broken+=("$i does not apply")
    continue
  fi
  cp "$scratch.text" "$scratch/${files[i]}"
  log=$scratch.$i.log
  read -r -a targets <<<"${tests[i]}"
  (cd "$scratch" && bazel test --jobs=2 --local_test_jobs=1 --keep_going --test_timeout=300 \
    ${filters[i]:+--test_filter="${filters[i]}"} --per_file_copt="^${files[i]}\$@-Wno-error" "${targets[@]}") >"$log" 2>&1
  status=$?
  restore
  # Bazel: 0 all passed, 3 some failed, 1 something did not build.
  case $status in
    0)
      if [[ -n ${equivalents[i]-} ]]; then
        verdict="survived, as it must: ${equivalents[i]}"
        equivalent+=("$i")
      else
        verdict=SURVIVED
        survived+=("$i")
      fi
      ;;
    3)
      verdict="killed by $(grep -hE '^//.* (FAILED|TIMEOUT)' "$log" | awk '{print $1}' | sort -u | tr '\n' ' ')"
      ((killed += 1))
      ;;
    *)
      verdict="DOES NOT BUILD, see $log"
      broken+=("$i does not build")
      ;;
  esac
  echo "$i ${files[i]} (${whys[i]}): $verdict"
  [[ $status == 3 || $status == 0 ]] && rm -f "$log"
done

for each in "${survived[@]}"; do echo "SURVIVED: $each ${files[each]}: ${whys[each]}"; done
for each in "${broken[@]}"; do echo "BROKEN: $each"; done
echo "$killed killed, ${#survived[@]} survived, ${#equivalent[@]} equivalent, ${#broken[@]} broken"
((${#survived[@]} == 0 && ${#broken[@]} == 0))
