#!/usr/bin/env bash
# The compiler of `make check` (RUSTC_WORKSPACE_WRAPPER): cargo calls it for each target of this package, with rustc's path and arguments.
# Everything is compiled once, by clippy's driver with warnings denied, and is tested as it is. The library is compiled by rustc itself,
# as users get it: clippy sees the same code where it is compiled with its unit tests. Its documentation is made from the same call.
set -euo pipefail
arguments=" $* "

# document RUSTC ARGUMENT...: rustdoc as the library was compiled, without what says where and how code is written.
document() {
  local kept=()
  while shift && [ $# -gt 0 ]; do
    case $1 in
      --out-dir) shift ;;
      --emit=* | --json=* | --error-format=*) ;;
      *) kept+=("$1") ;;
    esac
  done
  rustdoc "${kept[@]}" -D warnings --document-private-items --out-dir "${CARGO_TARGET_DIR:-target}/doc"
}

if [[ $arguments != *" src/lib.rs "* || $arguments == *" --test "* ]]; then
  exec clippy-driver "$@" -D warnings
fi
"$@" -D warnings
document "$@"
