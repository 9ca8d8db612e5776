"""One camera of a subject with several, as a subject of its own, for stages that know one camera only.

`views/CC/` links to what it shares with the subject, and to the places where the stages' results for that camera
belong; so a stage that is run on a view reads and writes the subject's own files.
"""

import os
from pathlib import Path

import numpy as np

from hashhuman.data.subject import Subject, SubjectWriter

SHARED = ("smpl_lbs", "smpl_params", "smpl_vertices")
OWN = ("images", "mask", "schp", "keypoints/body25", "keypoints/segmentation")
DRAWN = ("keypoints", "masks")


def open_view(subject: Path, camera: int) -> Path:
    """Makes the view of a camera (its position in annots.npy), or brings it up to date, and returns its folder."""
    view = subject / "views" / f"{camera:02d}"
    places = {name: name for name in SHARED}
    places |= {f"{name}/00": f"{name}/{camera:02d}" for name in OWN}
    places |= {f"pictures/{name}": f"pictures/{name}/{camera:02d}" for name in DRAWN}
    for link, target in places.items():
        (subject / target).mkdir(parents=True, exist_ok=True)
        (view / link).parent.mkdir(parents=True, exist_ok=True)
        if not (view / link).is_symlink():
            (view / link).symlink_to(os.path.relpath(subject / target, (view / link).parent))
    reader, writer = Subject(subject), SubjectWriter(view)
    images = [writer.image_path(0, p.frame, p.image.suffix) for p in reader.pictures if p.camera == camera]
    writer.write_annots([reader.camera(camera)], [np.zeros(5)], [[image] for image in images])
    writer.update_meta(**{key: value for key, value in reader.meta.items() if key != "version"})
    return view


def camera_count(subject: Path) -> int:
    """How many cameras annots.npy has."""
    return len(Subject(subject).camera_names)
