#!/usr/bin/env bash
# Asked by Bazel with --config=release: what the program says of itself. In a folder that is no
# checkout (tools/package.sh's tarball) the commit is in a file.
echo "STABLE_INGOT_COMMIT $(git describe --always --dirty --abbrev=12 2>/dev/null || cat COMMIT 2>/dev/null)"
