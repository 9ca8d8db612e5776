"""Camera paths and their videos."""

import threading

import imageio.v3 as iio
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.view import recording
from hashhuman.view.cameras import Viewpoint


def viewpoint(x: float, degrees: float, fov: float = 1.0) -> Viewpoint:
    return Viewpoint(np.array([x, 1.0, 3.0]), Rotation.from_euler("y", degrees, degrees=True).as_matrix(), fov, 40, 60)


def test_a_path_passes_its_places():
    places = [viewpoint(0, 0), viewpoint(1, 30, 0.8), viewpoint(2, 90)]
    along = recording.CameraPath(places).along(21)
    for index, place in ((0, places[0]), (10, places[1]), (20, places[2])):
        assert np.allclose(along[index].position, place.position) and along[index].fov == pytest.approx(place.fov)
        assert np.allclose(along[index].rotation, place.rotation, atol=1e-9)
    steps = np.linalg.norm(np.diff([each.position for each in along], axis=0), axis=1)
    assert steps.max() < 2 * steps.mean()
    assert all(np.allclose(each.rotation @ each.rotation.T, np.eye(3)) for each in along)


def test_a_path_of_one_place_stands():
    along = recording.CameraPath([viewpoint(1, 20)]).along(3)
    assert len(along) == 3 and all(np.array_equal(each.position, along[0].position) for each in along)


def test_a_full_turn_keeps_looking_at_its_centre():
    center = np.array([0.0, 1.0, 0.0])
    first = Viewpoint(np.array([0.0, 1.5, 3.0]), np.stack([[1, 0, 0], [0, -1, 0], [0, 0, -1.0]], 1), 1.0, 40, 60)
    for each in recording.full_turn(first, center, 8):
        local = each.rotation.T @ (center - each.position)
        assert local == pytest.approx(first.rotation.T @ (center - first.position), abs=1e-9)
    assert np.allclose(recording.full_turn(first, center, 8)[2].position, [3.0, 1.5, 0.0])


def test_sizes_are_even():
    small = recording.even(viewpoint(0, 0), 33)
    assert (small.height, small.width) == (32, 50)


def pictures(count: int):
    for number in range(count):
        yield np.full((32, 48, 3), 40 * number, np.uint8)


def test_a_video_is_written_and_told_of(tmp_path):
    path, told = recording.free_name(tmp_path), []
    recording.record(path, pictures(4), 4, 10, threading.Event(), told.append)
    assert path.name == "path_1.mp4" and told == [0.25, 0.5, 0.75, 1.0]
    video = iio.imread(path, plugin="pyav")
    assert video.shape == (4, 32, 48, 3) and abs(int(video[2].mean()) - 80) < 4
    assert recording.free_name(tmp_path).name == "path_2.mp4"


def test_a_cancelled_video_leaves_nothing(tmp_path):
    cancelled = threading.Event()
    with pytest.raises(recording.Cancelled):
        recording.record(tmp_path / "path_1.mp4", pictures(4), 4, 10, cancelled, lambda share: cancelled.set())
    assert list(tmp_path.iterdir()) == []
