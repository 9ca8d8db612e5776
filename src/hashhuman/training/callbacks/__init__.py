"""Callbacks of training: checkpoints, pictures, progress line, clock, viewer, and a sampler for the first steps."""

from hashhuman.training.callbacks.carve import Carve
from hashhuman.training.callbacks.checkpoints import Checkpoints
from hashhuman.training.callbacks.first_sampler import FirstSampler
from hashhuman.training.callbacks.live_viewer import LiveViewer
from hashhuman.training.callbacks.progress_line import ProgressLine
from hashhuman.training.callbacks.training_clock import TrainingClock
from hashhuman.training.callbacks.validation_pictures import ValidationPictures

__all__ = ["Carve", "Checkpoints", "FirstSampler", "LiveViewer", "ProgressLine", "TrainingClock", "ValidationPictures"]
