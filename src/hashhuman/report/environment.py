"""What an evaluation ran on and with: versions, processor and GPU."""

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = ("hashhuman", "torch", "lightning", "triton", "numba", "numpy", "opencv-python-headless", "imageio", "av")


def environment(device: torch.device) -> dict[str, str]:
    """What this process runs on and with, by name; packages that are not installed are left out.

    Args:
        device: the avatar's.
    """
    found = {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"}
    if device.type == "cuda":
        found["CUDA"] = str(torch.version.cuda)
    found["processor"] = f"{_processor()}, {len(os.sched_getaffinity(0))} cores"
    found |= {"system": f"{platform.system()} {platform.machine()}", "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """The processor's name, as Linux knows it; its architecture where it does not."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
