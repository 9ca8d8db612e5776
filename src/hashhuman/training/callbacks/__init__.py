"""What happens beside training: pictures at validation, one line of progress, and the clock."""

from hashhuman.training.callbacks.first_sampler import FirstSampler
from hashhuman.training.callbacks.progress_line import ProgressLine
from hashhuman.training.callbacks.training_clock import TrainingClock
from hashhuman.training.callbacks.validation_pictures import ValidationPictures

__all__ = ["FirstSampler", "ProgressLine", "TrainingClock", "ValidationPictures"]
