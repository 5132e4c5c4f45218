#!/usr/bin/env bash
# Installs that the test suite does not see: editable, without a compiler, benches from the tree.
# Usage: check_installs.sh WORK, with an environment active that holds the dependencies.
set -euo pipefail
work=$1
root=$PWD
dependencies=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# A second environment that borrows the installed dependencies and has a package of its own.
fresh_environment() {
  python -m venv "$work/$1"
  local site
  site=$("$work/$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo "$dependencies" > "$site/dependencies.pth"
}

echo "--- benches measure the installed package, not the folder beside them"
python - <<'PYTHON'
import pathlib, bench, mgnet_fast
assert pathlib.Path.cwd() not in pathlib.Path(mgnet_fast.__file__).parents, mgnet_fast.__file__
print(mgnet_fast.__file__.rsplit("/", 3)[1:])
PYTHON

echo "--- the GPU benchmarks try themselves out on the CPU"
python -m bench.gpu --out "$work/gpu" --dry-run

# The borrowed dependencies must not hold the package itself.
pip uninstall --quiet --yes mgnet-fast

echo "--- editable install"
fresh_environment editable
"$work/editable/bin/pip" install --quiet --no-deps --editable .
(cd / && "$work/editable/bin/python" - "$root" <<'PYTHON'
import sys
import mgnet_fast, mgnet_fast.kernels, torch
assert mgnet_fast.__file__.startswith(sys.argv[1]), mgnet_fast.__file__
assert mgnet_fast.backends()[0].available, mgnet_fast.backends()
print(mgnet_fast.glimpse(torch.ones(1, 3, 8, 8), torch.ones(1, 3), 4).shape)
PYTHON
)
rm -f mgnet_fast/_native*.so

echo "--- install without a C++ compiler"
fresh_environment nocompiler
env -u CXX PATH="$work/nocompiler/bin" "$work/nocompiler/bin/pip" install --no-deps . 2>&1 | tail -n 1
(cd / && "$work/nocompiler/bin/python" -m mgnet_fast.env | grep 'NOT IN USE')
(cd / && "$work/nocompiler/bin/mgnet-fast" flops mgnet_toy)
