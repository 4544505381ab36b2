#!/usr/bin/env bash
# install.sh [PREFIX]   Builds ingot and installs it below PREFIX (default /usr/local; DESTDIR in front, for packages):
#
#   bin/ingot                     the program; of shared libraries it needs the C, C++ and math libraries alone
#   lib/ingot/libingot_mpi.so     what ranks under mpirun talk through, where this machine has MPI
#   share/ingot/configs           models and runs to start from
#   share/doc/ingot               the documentation, LICENSE and NOTICE
#   share/man/man1/ingot.1        the manual page; completions for bash and zsh beside it
#
# INGOT_BINARY=FILE installs that program, with libingot_mpi.so from beside it, instead of building one.
set -euo pipefail
cd "$(dirname "$0")"
prefix=${1:-/usr/local}
[[ $prefix == /* ]] || { echo "install.sh: PREFIX must be an absolute path, not $prefix" >&2; exit 2; }
root=${DESTDIR:-}$prefix

binary=${INGOT_BINARY:-}
if [[ -z $binary ]]; then
  ./setup.sh
  bazel build --config=release --noshow_progress --ui_event_filters=-info //tools:ingot
  binary=bazel-bin/tools/ingot
fi

install -D -m 755 "$binary" "$root/bin/ingot"
for messages in "$(dirname "$binary")/libingot_mpi.so" "$(dirname "$binary")/../lib/ingot/libingot_mpi.so"; do
  [[ ! -f $messages ]] || install -D -m 755 "$messages" "$root/lib/ingot/libingot_mpi.so"
done
find configs -name '*.json' -exec install -D -m 644 {} "$root/share/ingot/{}" \;
find docs -name '*.md' -exec install -D -m 644 {} "$root/share/doc/ingot/{}" \;
install -m 644 README.md LICENSE NOTICE "$root/share/doc/ingot/"
install -d "$root/share/man/man1" "$root/share/bash-completion/completions" "$root/share/zsh/site-functions"
"$binary" manual >"$root/share/man/man1/ingot.1"
"$binary" completion bash >"$root/share/bash-completion/completions/ingot"
"$binary" completion zsh >"$root/share/zsh/site-functions/_ingot"
echo "installed $("$binary" --version | head -n 1) below $root"
