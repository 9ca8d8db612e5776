"""Presents one camera of a multi-camera subject as a subject of its own, for stages that handle a single camera.

The folder `views/CC/` holds symbolic links to the data that all cameras share, and to the folders for that camera's
results. A stage that runs on a view therefore reads and writes the subject's own files.
"""

import os
from pathlib import Path

import numpy as np

from hashhuman.data.subject import Subject, SubjectWriter

SHARED = ("smpl_lbs", "smpl_params", "smpl_vertices")
"""Folders that all cameras have in common."""
OWN = ("images", "mask", "schp", "plate", "keypoints/body25", "keypoints/segmentation", "keypoints/others")
"""Folders with a folder 00, 01, ... for each camera."""
DRAWN = ("keypoints", "masks")
"""Stages whose drawings lie in pictures/, one folder for each camera."""


def open_view(subject: Path, camera: int) -> Path:
    """Creates or updates the view of a camera and returns its folder.

    Args:
        subject: the subject with all cameras.
        camera: the camera's position in annots.npy.
    """
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
    """The number of cameras in annots.npy."""
    return len(Subject(subject).camera_names)
