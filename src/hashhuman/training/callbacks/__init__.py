"""Callbacks of training: checkpoints, pictures, progress line, clock, viewer, first sampler, threads of a step."""

from hashhuman.training.callbacks.carve import Carve
from hashhuman.training.callbacks.checkpoints import Checkpoints
from hashhuman.training.callbacks.first_sampler import FirstSampler
from hashhuman.training.callbacks.live_viewer import LiveViewer
from hashhuman.training.callbacks.progress_line import ProgressLine
from hashhuman.training.callbacks.step_threads import StepThreads
from hashhuman.training.callbacks.training_clock import TrainingClock
from hashhuman.training.callbacks.validation_pictures import ValidationPictures

__all__ = [
    "Carve", "Checkpoints", "FirstSampler", "LiveViewer", "ProgressLine", "StepThreads", "TrainingClock",
    "ValidationPictures",
]  # fmt: skip
