#!/usr/bin/env bash
# Two processes that compile one @njit(cache=True) function for different types at the same time leave a cache that gives
# the one's code for the other's types: a later process gets a wrong number, and no warning.
#
# Versions: numba 0.68.1, llvmlite 0.50.0, numpy 2.4.6, Python 3.11. Seen: 2026-11-30.
#
# Numba numbers the files of a function's cache. Both processes read the empty index, both take number 1, both write
# their index and their code; what remains may be the index of the one and the code of the other. Files are written
# under temporary names and renamed, so none of them is damaged. Here the order is made certain by hooks that hold each
# process at one renaming; without them it takes bad luck, such as the first jobs of a sweep on a cluster.
# For us: src/hashhuman/cpu/kept.py names the files after what they hold, and writes the index last.
#
# Output:
#   the sum of 0 to 5 as int32, by a later process: 15
#   the sum of 0 to 5 as float32, by a later process: 5383389184
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/site" numba==0.68.1 llvmlite==0.50.0 numpy==2.4.6
cd "$folder"
cat > sums.py <<'PYTHON'
import numba

@numba.njit(cache=True)
def total(values):
    result = values[0] - values[0]
    for i in range(len(values)):
        result += values[i]
    return result
PYTHON
cat > work.py <<'PYTHON'
import os, sys, time
import numpy as np
from sums import total

kind, held, until = sys.argv[1], sys.argv[2], sys.argv[3]

def hold(event, arguments):
    """Before the file with the ending `held` gets its name, waits for the file `until`."""
    if event == "os.rename" and str(arguments[1]).endswith(held):
        open(f"{kind}_is_there", "w").close()
        while not os.path.exists(until):
            time.sleep(0.01)

if held != "-":
    sys.addaudithook(hold)
print(int(total(np.arange(6).astype(kind))))
PYTHON
export PYTHONPATH="$folder/site" PYTHONDONTWRITEBYTECODE=1
python3 work.py float32 .nbi int32_is_there > /dev/null &
first=$!
while [ ! -e float32_is_there ]; do sleep 0.1; done
python3 work.py int32 .nbc float32_has_ended > /dev/null &
wait $first
touch float32_has_ended
wait
for kind in int32 float32; do
    found=$(python3 work.py $kind - -)
    echo "the sum of 0 to 5 as $kind, by a later process: $found"
    [ "$kind" = int32 ] || [ "$found" != 15 ] || { echo "this has changed"; exit 1; }
done
