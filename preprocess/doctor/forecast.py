"""How long the whole command is going to take on this machine."""

import dataclasses

import torch

from preprocess.findings import Finding

TOPIC = "machine"


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Scales times that were measured on one machine by the time that the networks take on this one.

    Args:
        network_s: seconds that the doctor's networks took there for a picture.
        picture_s: seconds of preprocessing there for a picture.
        cpu_s: seconds of training and evaluation there, with the preset for CPUs, whatever the video.
        gpu_s: the same with the preset for GPUs, on a GPU; it is not scaled.
    """

    network_s: float
    picture_s: float
    cpu_s: float
    gpu_s: float

    def __call__(self, count: int, network_s: float) -> Finding:
        """The finding, for so many pictures and the seconds that the networks took here for one."""
        slower, gpu = network_s / self.network_s, torch.cuda.is_available()
        seconds = slower * self.picture_s * count + (self.gpu_s if gpu else slower * self.cpu_s)
        preset = "fast" if gpu else "cpu"
        value = f"about {max(1, round(seconds / 60))} min from video to avatar, with the preset {preset}: an estimate"
        return Finding(TOPIC, "time", value)
