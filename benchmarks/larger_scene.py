"""Makes a scene with more frames and larger pictures from another one, to measure their cost.

    python benchmarks/larger_scene.py SCENE FOLDER [--frames 1000] [--size 1024]

A scene is a folder in the ZJU-MoCap layout whose scene.json has the number of training frames. These are repeated in
turn up to `--frames` frames, followed by the remaining frames of the scene. Pictures are scaled to a long side of
`--size` pixels. Camera 0 sees all frames, the other cameras see each frame once. A repeated frame is a link to the
first one, but is read, decoded and posed like a new one. Such a scene contains no new information: it shows what frames
and pixels cost, not how much they improve quality. Its scene.json also has the number of `distinct_frames`.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from hashhuman.data.subject import Picture, Subject, SubjectWriter  # noqa: E402
from hashhuman.geometry.camera import Camera  # noqa: E402
from hashhuman.io import files, threads  # noqa: E402

SEEN_BY_ALL = 0  # the camera that also sees the repeated frames


def make(scene: Path, folder: Path, frames: int, size: int) -> None:
    """Writes the larger scene to a folder, which must not exist yet."""
    subject, description = Subject(scene), files.load_json(scene / "scene.json")
    trained, after = subject.frames[: description["frames"]], subject.frames[description["frames"] :]
    sources = [trained[i % len(trained)] for i in range(frames)] + after
    first = {source: frame for frame, source in reversed([*enumerate(sources)])}
    folder.mkdir(parents=True)
    writer = SubjectWriter(folder)
    cameras = [scaled(subject.camera(index), size) for index in range(len(subject.camera_names))]
    chosen = [picture for picture in subject.pictures if picture.frame in first]
    for _ in threads.ordered(lambda p: write(writer, subject, p, cameras[p.camera], first[p.frame]), chosen):
        pass
    repeat(sources, first, lambda frame: writer.image_path(SEEN_BY_ALL, frame))
    repeat(sources, first, lambda frame: writer.mask_path(SEEN_BY_ALL, frame))
    repeat(sources, first, lambda frame: writer.parts_path(SEEN_BY_ALL, frame))
    for name in ("smpl_params", "smpl_vertices"):
        for source, frame in first.items():
            if (scene / name / f"{source}.npy").exists():
                (folder / name).mkdir(exist_ok=True)
                shutil.copyfile(scene / name / f"{source}.npy", folder / name / f"{frame}.npy")
        repeat(sources, first, lambda frame, name=name: folder / name / f"{frame}.npy")
    for path in (scene / "smpl_lbs").glob("*.npy"):
        (folder / "smpl_lbs").mkdir(exist_ok=True)
        shutil.copyfile(path, folder / "smpl_lbs" / path.name)
    if subject.meta:
        files.save_json(folder / "subject.json", subject.meta)
    listed = [[writer.image_path(index, frame) for index in range(len(cameras))] for frame in range(len(sources))]
    writer.write_annots(cameras, [np.zeros(5)] * len(cameras), listed)
    distinct = min(frames, len(trained))
    files.save_json(folder / "scene.json", {**description, "frames": frames, "distinct_frames": distinct})


def scaled(camera: Camera, size: int) -> Camera:
    """The camera with a long side of `size` pixels."""
    return camera.scaled(size / max(camera.height, camera.width))


def write(writer: SubjectWriter, subject: Subject, picture: Picture, camera: Camera, frame: int) -> None:
    """Writes a picture with its mask and part labels, undistorted and scaled, as frame `frame`."""
    size = (camera.width, camera.height)
    writer.write_image(picture.camera, frame, cv2.resize(subject.image(picture), size))
    if picture.mask is not None:
        writer.write_mask(picture.camera, frame, cv2.resize(subject.mask(picture), size))
    if picture.parts is not None:
        labels = cv2.resize(subject.parts(picture), size, interpolation=cv2.INTER_NEAREST_EXACT)
        writer.write_parts(picture.camera, frame, labels)


def repeat(sources: list[int], first: dict[int, int], path: Callable[[int], Path]) -> None:
    """Links each frame's file to the file of the first frame with the same source, if it exists."""
    for frame, source in enumerate(sources):
        if frame != first[source] and path(first[source]).exists():
            path(frame).symlink_to(path(first[source]).name)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, default=1024)
    arguments = parser.parse_args()
    make(arguments.scene, arguments.folder, arguments.frames, arguments.size)
    print(arguments.folder)


if __name__ == "__main__":
    main()
