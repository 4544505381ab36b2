#!/usr/bin/env bash
# setup.sh   Installs what ingot's build and tests need on Debian 12 or 13, from apt alone, and only what is missing.
# May be run again at any time, as root or as a user who may sudo.
set -euo pipefail

packages=(
  bazel-bootstrap bazel-rules-java  # Bazel 4.2.3; the second spares it a download
  g++ binutils git ca-certificates
  nlohmann-json3-dev libcli11-dev libfmt-dev libgtest-dev libxxhash-dev libpcre2-dev libutf8proc-dev
  zlib1g-dev libzstd-dev
  openmpi-bin libopenmpi-dev  # ranks; the program works without
  libeigen3-dev  # the text that quickstart.sh trains on
  clang-format
)

[[ $(dpkg --print-architecture) == amd64 ]] || packages+=(libsimde-dev)  # SSE2 on other CPUs
# Where apt has no Bazel (Ubuntu), one that is there will do: MODULE.bazel is for versions from 7 on.
bazel_of_apt=1
if command -v bazel >/dev/null && [[ $(dpkg-query -W -f '${db:Status-Status}' bazel-bootstrap 2>/dev/null) != installed ]]; then
  bazel_of_apt=0
  packages=("${packages[@]:2}")
fi

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }
missing=()
for package in "${packages[@]}"; do installed "$package" || missing+=("$package"); done
if ((${#missing[@]})); then
  as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || {
      echo "setup.sh: missing ${missing[*]}: run as root: apt-get install ${missing[*]}" >&2
      exit 1
    }
    as_root=(sudo)
  fi
  echo "setup.sh: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# need PACKAGE VERSION: at least that version.
need() {
  local have
  have=$(dpkg-query -W -f '${Version}' "$1")
  dpkg --compare-versions "$have" ge "$2" && return
  echo "setup.sh: $1 is $have, needed is $2 or newer: use Debian 12 or newer" >&2
  exit 1
}
((bazel_of_apt)) && need bazel-bootstrap 4.2.3
need g++ 4:12
