"""What the machine has: GPU, memory and disk space."""

import dataclasses
import os
import shutil
from pathlib import Path

import torch

from preprocess.findings import Finding, Limits, at_least

TOPIC = "machine"
GB = 1e9


@dataclasses.dataclass(frozen=True)
class MachineChecks:
    """Judges what is free on the machine. The first three arguments are pairs of limits (`findings.Limits`).

    Args:
        gpu_memory: free GPU memory (GB).
        memory: free main memory (GB).
        disk: free disk space, divided by the space that the subject needs.
        bytes_a_pixel: disk space that a subject needs for each pixel of its pictures.
    """

    gpu_memory: Limits
    memory: Limits
    disk: Limits
    bytes_a_pixel: float

    def __call__(self, workspace: Path, pixels: int) -> list[Finding]:
        """The findings, for a subject below `workspace` whose pictures have so many pixels together."""
        return [self.gpu(), self.cpu(free_memory()), self.space(workspace, pixels)]

    def gpu(self) -> Finding:
        """The finding on the GPU: its name and memory."""
        if not torch.cuda.is_available():
            return Finding(TOPIC, "GPU", "none: training uses the preset cpu")
        free, total = torch.cuda.mem_get_info()
        value = f"{torch.cuda.get_device_name()}, {free / GB:.1f} of {total / GB:.1f} GB free"
        advice = "end other programs that use the GPU, or use smaller pictures: data.max_size=512"
        return Finding(TOPIC, "GPU", value, at_least(free / GB, self.gpu_memory), advice)

    def cpu(self, free: float) -> Finding:
        """The finding on CPU cores and main memory, of which so many bytes are free."""
        value = f"{len(os.sched_getaffinity(0))} cores, {free / GB:.1f} GB free"
        advice = "close other programs, or use smaller and fewer pictures: preprocess.frames.max_size, step"
        return Finding(TOPIC, "CPU", value, at_least(free / GB, self.memory), advice)

    def space(self, workspace: Path, pixels: int) -> Finding:
        """The finding on the disk that the subject is written to."""
        folder = next(path for path in (workspace.absolute(), *workspace.absolute().parents) if path.exists())
        free, needed = shutil.disk_usage(folder).free, max(pixels * self.bytes_a_pixel, 1)
        value = f"{free / GB:.1f} GB free, the subject needs about {needed / GB:.1f} GB"
        advice = f"free some space in {folder}, or choose another folder with workspace="
        return Finding(TOPIC, "disk", value, at_least(free / needed, self.disk), advice)


def free_memory() -> float:
    """Main memory that is available without swapping (bytes), as Linux estimates it."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return 1024.0 * int(lines["MemAvailable"].split()[0])
