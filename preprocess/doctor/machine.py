"""GPU, memory and disk."""

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
    """Judges what the machine has left. Pairs: fine, bad.

    Args:
        gpu_memory: free on the GPU (GB).
        memory: free main memory (GB).
        disk: free space over what the subject is going to take.
        bytes_a_pixel: what a subject takes on the disk, for each pixel of its pictures.
    """

    gpu_memory: Limits
    memory: Limits
    disk: Limits
    bytes_a_pixel: float

    def __call__(self, workspace: Path, pixels: int) -> list[Finding]:
        """The findings; `pixels` of all pictures together are to be preprocessed below `workspace`."""
        return [self.gpu(), self.cpu(free_memory()), self.space(workspace, pixels)]

    def gpu(self) -> Finding:
        """The GPU's name and memory."""
        if not torch.cuda.is_available():
            return Finding(TOPIC, "GPU", "none: the preset cpu is going to be used")
        free, total = torch.cuda.mem_get_info()
        value = f"{torch.cuda.get_device_name()}, {free / GB:.1f} of {total / GB:.1f} GB free"
        advice = "end what else runs there, or use smaller pictures: data.max_size=512"
        return Finding(TOPIC, "GPU", value, at_least(free / GB, self.gpu_memory), advice)

    def cpu(self, free: float) -> Finding:
        """Cores, and `free` memory (bytes)."""
        value = f"{len(os.sched_getaffinity(0))} cores, {free / GB:.1f} GB free"
        advice = "close other programs, or use smaller and fewer pictures: preprocess.frames.max_size, step"
        return Finding(TOPIC, "CPU", value, at_least(free / GB, self.memory), advice)

    def space(self, workspace: Path, pixels: int) -> Finding:
        """Free space where the subject is going to lie."""
        folder = next(path for path in (workspace.absolute(), *workspace.absolute().parents) if path.exists())
        free, needed = shutil.disk_usage(folder).free, max(pixels * self.bytes_a_pixel, 1)
        value = f"{free / GB:.1f} GB free, the subject takes about {needed / GB:.1f} GB"
        advice = f"free space in {folder}, or move the data: workspace="
        return Finding(TOPIC, "disk", value, at_least(free / needed, self.disk), advice)


def free_memory() -> float:
    """Main memory that can be had without swapping (bytes), as Linux estimates it."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return 1024.0 * int(lines["MemAvailable"].split()[0])
