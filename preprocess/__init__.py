"""From a video to a subject folder: stages that detect, fit, segment and write, each stamped and skippable."""
