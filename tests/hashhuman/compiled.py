"""Runs a Python module in a separate process, in which Triton's kernels are compiled instead of interpreted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def told_by(module: str, *arguments: str) -> Any:
    """The JSON that `python -m module arguments` prints."""
    compiled = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", module, *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, env=compiled, check=True, stdout=subprocess.PIPE).stdout)
