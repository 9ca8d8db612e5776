"""The line of docs/options.md makes bash complete options: eval "$(python train.py -sc install=bash)"."""

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, commands_of

COMPLETED = """
{install}
COMP_LINE="python train.py preprocess/masks=s" COMP_CWORD=2
COMP_POINT=${{#COMP_LINE}}
hydra_bash_completion
complete -p python
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def test_bash_completes_an_option():
    (install,) = {each.text for each in commands_of(ROOT / "docs/options.md") if each.text.startswith("eval ")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", COMPLETED.format(install=install)], cwd=ROOT, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    installed, *offered = done.stdout.splitlines()
    assert "hydra_bash_completion python" in installed
    assert offered == ["preprocess/masks=schp", "preprocess/masks=schp_external"]
