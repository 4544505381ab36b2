#!/usr/bin/env bash
# package.sh [FOLDER]   Makes of this checkout, in FOLDER (default dist):
#
#   ingot_VERSION_ARCHITECTURE.deb   what install.sh installs, below /usr
#   ingot-VERSION-ARCHITECTURE.tar.gz   the same to unpack anywhere
#   ingot-VERSION.tar.gz             the sources at the last commit
set -euo pipefail
cd "$(dirname "$0")/.."
output=$(realpath -m "${1:-dist}")
version=$(cat VERSION)
architecture=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output"

DESTDIR=$work/deb ./install.sh /usr
gzip -9n "$work/deb/usr/share/man/man1/ingot.1"
mv "$work/deb/usr/share/zsh/site-functions" "$work/deb/usr/share/zsh/vendor-completions"  # where Debian looks
mkdir "$work/deb/DEBIAN"
cat >"$work/deb/DEBIAN/control" <<CONTROL
Package: ingot
Version: $version
Architecture: $architecture
Maintainer: the ingot authors <ingot@localhost>
Section: science
Priority: optional
Depends: libc6, libstdc++6, libgcc-s1
Installed-Size: $(du -sk "$work/deb/usr" | cut -f1)
Description: trains DeepSeek-style transformers in the memory you have
 One program, JSON configs, Hugging Face checkpoints in and out, no Python.
 Memory is planned: what "ingot plan" accepts never runs out of memory.
CONTROL
dpkg-deb --root-owner-group --build "$work/deb" "$output/ingot_${version}_$architecture.deb" >/dev/null

DESTDIR=$work/tar INGOT_BINARY=$work/deb/usr/bin/ingot ./install.sh "/ingot-$version" >/dev/null
tar -C "$work/tar" --owner=0 --group=0 -czf "$output/ingot-$version-$architecture.tar.gz" "ingot-$version"

git archive --prefix="ingot-$version/" -o "$work/sources.tar" HEAD
mkdir "$work/ingot-$version"
git describe --always --abbrev=12 >"$work/ingot-$version/COMMIT"
tar -C "$work" -rf "$work/sources.tar" "ingot-$version/COMMIT"
gzip -9nc "$work/sources.tar" >"$output/ingot-$version.tar.gz"
ls -l "$output"
