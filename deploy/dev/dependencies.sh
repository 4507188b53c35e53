#!/usr/bin/env bash
# Looks at the dependencies: unused ones, two versions of one crate, known vulnerabilities.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
tools=${CARGO_TARGET_DIR:-$root/target}/tools
failed=0

# tool CRATE VERSION: installs a cargo tool of this version once, beside the other build results.
tool() {
  [ -x "$tools/bin/$1" ] && [ "$(cat "$tools/$1.version" 2>/dev/null)" = "$2" ] && return
  cargo install "$1" --version "$2" --locked --quiet --root "$tools"
  echo "$2" >"$tools/$1.version"
}

echo "unused dependencies"
tool cargo-machete 0.9.2
"$tools/bin/cargo-machete" "$root" >"$tools/machete.txt" 2>&1 || { cat "$tools/machete.txt"; failed=1; }

echo "duplicate dependencies"
found=$(cargo tree --locked --duplicates --edges normal --depth 0 --prefix none | awk 'NF { print $1, $2 }' | sort -u | awk '{ print $1 }' | uniq -d)
allowed=$(awk 'NF && $1 !~ /^#/ { print $1 }' deploy/dev/duplicates.txt | sort)
for crate in $(comm -23 <(echo "$found" | sort) <(echo "$allowed")); do
  echo "  $crate is there in several versions; make them one, or add it to deploy/dev/duplicates.txt with the reason"
  failed=1
done
for crate in $(comm -13 <(echo "$found" | sort) <(echo "$allowed")); do
  echo "  $crate is no duplicate any more; remove it from deploy/dev/duplicates.txt"
  failed=1
done

advisories=https://github.com/rustsec/advisory-db
if command -v cargo-audit >/dev/null || { GIT_TERMINAL_PROMPT=0 timeout 10 git ls-remote --exit-code "$advisories" HEAD >/dev/null 2>&1 && tool cargo-audit 0.22.0; }; then
  echo "advisories"
  PATH=$PATH:$tools/bin cargo audit --quiet || failed=1
else
  echo "advisories: not checked, as the database cannot be reached from here"
fi
exit $failed
