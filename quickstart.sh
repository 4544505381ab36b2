#!/usr/bin/env bash
# quickstart.sh   From a fresh Debian 12 to a small DeepSeek-V3-style model that writes C++.
#
# Installs what is missing, builds ingot, turns the C++ headers of the Eigen package (530 files,
# 8.7 MB) into tokens, trains configs/runs/quickstart.json for about three minutes on two cores,
# and lets the model go on from a prompt. Run it again to go on where it stopped.
set -euo pipefail
cd "$(dirname "$0")"

./setup.sh
echo "== building"
bazel build --config=release --noshow_progress --ui_event_filters=-info //tools:ingot
ingot=bazel-bin/tools/ingot

echo "== preparing text"
"$ingot" prepare --input /usr/include/eigen3 --tokenizer train --vocab 8192 --output data-quickstart

echo "== training"
"$ingot" train configs/runs/quickstart.json

echo "== a sample"
"$ingot" generate --checkpoint runs/quickstart --prompt $'template <typename Scalar>\nclass ' \
  --max-tokens 200 --temperature 0.7 --top-p 0.9 --seed 1
