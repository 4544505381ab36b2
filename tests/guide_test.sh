#!/usr/bin/env bash
# guide_test.sh INGOT GUIDE.md TEXT...   Runs every command of docs/guide.md (its blocks marked "sh"), in order, in one
# empty folder, with pieces of TEXT... as the user's documents. Trainings are cut: to 3 steps, and to 3 more where one goes on.
set -euo pipefail
program=$(realpath "$1") guide=$(realpath "$2")
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HOME=$folder  # measured speeds of this machine are kept there
mkdir "$folder/my-text"
cat "$@" >"$folder/text"
split -n r/20 "$folder/text" "$folder/my-text/part"

awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$guide" >"$folder/commands.sh"
commands=$(grep -c '^ingot ' "$folder/commands.sh")
cd "$folder"

ran=0 steps=0
ingot() {
  local cut=()
  if [[ $1 == train ]]; then
    if [[ $2 == run.json ]]; then ((steps += 3)); fi
    cut=(--steps "$([[ $2 == run.json ]] && echo "$steps" || echo 3)")
  fi
  ((ran += 1))
  echo "+ ingot $*"
  "$program" "$@" "${cut[@]}"
}
set -x
source ./commands.sh
set +x
[[ $ran == "$commands" && $commands -ge 15 ]] || { echo "ran $ran of $commands commands"; exit 1; }

# What the guide promises of the last of them.
[[ -s my-model-continued/config.json && -s my-model-continued/tokenizer.json ]]
compgen -G 'my-model-continued/*.safetensors' >/dev/null
tail -n 1 runs/mine/metrics.jsonl | grep -q '"step":'
