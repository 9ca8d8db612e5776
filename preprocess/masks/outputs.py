"""What every variant of the stage writes."""

from pathlib import Path


def mask_outputs(subject: Path, stage: str) -> list[Path]:
    """Masks, part labels, the plate (which another variant may have left) and the stage's own pictures."""
    return [subject / name for name in ("mask", "schp", "plate", f"pictures/{stage}")]
