"""Points of OpenPose, RTMPose and their like: the right person, at the right places, or one sentence."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from preprocess.body_fit.evidence.observe import observe
from preprocess.frames.monocular import VideoFrames
from preprocess.keypoints.coco import CocoKeypoints
from preprocess.keypoints.openpose import OpenPoseKeypoints
from preprocess.keypoints.people import PeopleKeypoints
from preprocess.keypoints.points import Keypoints, body25_folder, points_path
from preprocess.skeleton import BODY_25, COCO_17, NAMES
from preprocess.stage import run_stages
from tests.preprocess.clips import grey_levels, write_video

VIDEO = (64, 48)
FRAMES = 4
BODY = {name: i for i, name in enumerate(NAMES)}


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    """Pictures 0, 2, 4 and 6 of a video of 8, at half its size."""
    video = write_video(tmp_path / "clip.mp4", grey_levels(8))
    run_stages([VideoFrames(str(video), step=2, max_size=VIDEO[0] // 2)], tmp_path / "subject")
    return tmp_path / "subject"


def person(picture: int, x: float = 0.0) -> np.ndarray:
    """A person's 33 points in a picture of the video (x, y), who walks to the right."""
    rng = np.random.default_rng(0)
    return rng.uniform([20, 4], [40, 44], (33, 2)) + np.array([x + 0.5 * picture, 0])


# of the 133, beyond COCO's 17
WHOLE_BODY = {
    "left_foot_index": 17, "left_heel": 19, "right_foot_index": 20, "right_heel": 22, "right_eye_outer": 59,
    "right_eye_inner": 62, "left_eye_inner": 65, "left_eye_outer": 68, "mouth_right": 71, "mouth_left": 77,
    "left_thumb": 93, "left_index": 96, "left_pinky": 108, "right_thumb": 114, "right_index": 117, "right_pinky": 129,
}  # fmt: skip


def in_subject(points: np.ndarray) -> np.ndarray:
    return (points + 0.5) / 2 - 0.5


def openpose(points: np.ndarray) -> dict[str, Any]:
    body = np.zeros((25, 3))
    for i, names in enumerate(BODY_25):
        if names:
            body[i] = *points[[BODY[n] for n in names]].mean(0), 0.9
    hands = {side: np.zeros((21, 3)) for side in ("left", "right")}
    for side, hand in hands.items():
        for i, name in ((2, "thumb"), (5, "index"), (17, "pinky")):
            hand[i] = *points[BODY[f"{side}_{name}"]], 0.8
    return {
        "person_id": [-1],
        "pose_keypoints_2d": body.ravel().tolist(),
        "face_keypoints_2d": [],
        **{f"hand_{side}_keypoints_2d": hand.ravel().tolist() for side, hand in hands.items()},
    }


def coco(points: np.ndarray, whole: bool = False) -> dict[str, Any]:
    found = np.zeros((133 if whole else 17, 2))
    found[:17] = points[[BODY[n] for n in COCO_17]]
    if whole:
        for name, i in WHOLE_BODY.items():
            found[i] = points[BODY[name]]
    return {"keypoints": found.tolist(), "keypoint_scores": [0.9] * len(found), "bbox": [[0, 0, 9, 9]]}


def people(picture: int) -> list[np.ndarray]:
    """Somebody, and a smaller bystander, who changes places with them in the file."""
    both = [person(picture), 6 + 0.25 * person(picture, -10)]
    return both if picture % 4 else both[::-1]


def write_openpose(path: Path, pictures: range = range(8)) -> Path:
    path.mkdir(exist_ok=True)
    for i in pictures:
        text = json.dumps({"version": 1.3, "people": [openpose(p) for p in people(i)]})
        (path / f"clip_{i:012d}_keypoints.json").write_text(text)
    return path


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def read(subject: Path, stage: PeopleKeypoints) -> Keypoints:
    run_stages([stage], subject, force=True)
    return Keypoints.load(points_path(subject))


def check(keypoints: Keypoints, names: tuple[str, ...], x: float = 0.0) -> None:
    """The named points are the person's, in pixels of the subject's pictures; the others are not seen."""
    assert keypoints.detected.all()
    chosen = [BODY[n] for n in names]
    for row, picture in enumerate(range(0, 8, 2)):
        np.testing.assert_allclose(
            keypoints.image_points[row, chosen], in_subject(person(picture, x))[chosen], atol=0.01
        )
    assert (keypoints.visibility[:, chosen] > 0.7).all()
    assert not np.delete(keypoints.visibility, chosen, 1).any()
    assert np.isnan(keypoints.world_points).all()


SINGLE = tuple(names[0] for names in BODY_25 if len(names) == 1)
HANDS = tuple(f"{side}_{name}" for side in ("left", "right") for name in ("thumb", "index", "pinky"))
WHOLE = tuple(NAMES)


def test_openpose_of_the_whole_video(subject: Path, tmp_path: Path):
    keypoints = read(subject, OpenPoseKeypoints(str(write_openpose(tmp_path / "json")), lift=False))
    check(keypoints, SINGLE + HANDS)
    assert len(list(body25_folder(subject).iterdir())) == FRAMES


def test_openpose_of_the_subjects_own_pictures(subject: Path, tmp_path: Path):
    path = tmp_path / "json"
    path.mkdir()
    for row, i in enumerate(range(0, 8, 2)):
        write_json(path / f"{row:06d}_keypoints.json", {"people": [openpose(person(i))]})
    check(read(subject, OpenPoseKeypoints(str(path), lift=False)), SINGLE + HANDS)
    half = path / "half"
    half.mkdir()
    for row, i in enumerate(range(0, 8, 2)):
        write_json(half / f"{row:06d}_keypoints.json", {"people": [openpose(in_subject(person(i)))]})
    check(read(subject, OpenPoseKeypoints(str(half), size=[32, 24], lift=False)), SINGLE + HANDS)


VIDEO_PEOPLE = {
    "instance_info": lambda c: {
        "meta_info": {},
        "instance_info": [{"frame_id": i + 1, "instances": [c(p) for p in people(i)]} for i in range(8)],
    },
    "inferencer": lambda c: [{"frame_id": i, "instances": [c(p) for p in people(i)]} for i in range(8)],
    "lists": lambda c: [[c(p) for p in people(i)] for i in range(8)],
    "lists of the subject's": lambda c: [[c(p) for p in people(i)] for i in range(0, 8, 2)],
    "results": lambda c: [
        {"image_id": i, "category_id": 1, "score": 0.9, "keypoints": flat(c(p))} for i in range(8) for p in people(i)
    ],
    "results by name": lambda c: [
        {"image_id": f"../../x/{i:06d}.jpg", "keypoints": flat(c(p))} for i in range(8) for p in people(i)
    ],
}


def flat(instance: dict[str, Any]) -> list[float]:
    return np.column_stack([instance["keypoints"], instance["keypoint_scores"]]).ravel().tolist()


@pytest.mark.parametrize("whole", [False, True], ids=["17", "133"])
@pytest.mark.parametrize("kind", VIDEO_PEOPLE)
def test_coco_files_of_a_video(subject: Path, tmp_path: Path, kind: str, whole: bool):
    path = write_json(tmp_path / "x.json", VIDEO_PEOPLE[kind](lambda p: coco(p, whole)))
    check(read(subject, CocoKeypoints(str(path), lift=False)), WHOLE if whole else COCO_17)


@pytest.mark.parametrize("kind", ["list", "instance_info", "people"])
def test_coco_files_of_pictures(subject: Path, tmp_path: Path, kind: str):
    folder = tmp_path / "json"
    folder.mkdir()
    for i in range(8):
        instances: Any = [coco(p) for p in people(i)]
        if kind == "people":
            instances = [{"pose_keypoints_2d": flat(instance)} for instance in instances]
        write_json(folder / f"{i:06d}.json", instances if kind == "list" else {kind: instances})
    check(read(subject, CocoKeypoints(str(folder), lift=False)), COCO_17)


def test_the_person_by_number_or_place(subject: Path, tmp_path: Path):
    content = [[coco(person(i, x)) for x in (0, 18, -18)] for i in range(8)]
    path = str(write_json(tmp_path / "x.json", content))
    for who, x in ((0, -18), (1, 0), (2, 18), ([26.0, 12.0], 18)):
        check(read(subject, CocoKeypoints(path, person=who, lift=False)), COCO_17, x)
    with pytest.raises(UserError, match="3 were found"):
        read(subject, CocoKeypoints(path, person=3, lift=False))


def test_what_is_missing_starts_at_a_neighbour_and_moves_with_it(subject: Path, tmp_path: Path):
    """A fit reads all 33 points, also where they count for nothing: they must not lie at the picture's corner."""
    content = [[coco(person(i))] for i in range(8)]
    for i in (2, 6):
        content[i][0]["keypoint_scores"][COCO_17.index("left_wrist")] = 0.1
    for i in range(8):
        content[i][0]["keypoint_scores"][COCO_17.index("right_ear")] = 0.0
    content[4] = []
    keypoints = read(subject, CocoKeypoints(str(write_json(tmp_path / "x.json", content)), lift=False))
    assert keypoints.detected.tolist() == [True, True, False, True] and not keypoints.image_points[2].any()
    points = {name: keypoints.image_points[:, i] for name, i in BODY.items()}
    expected = np.stack([in_subject(person(i)) for i in range(0, 8, 2)])
    np.testing.assert_allclose(points["left_pinky"], points["left_wrist"])
    np.testing.assert_allclose(points["left_foot_index"][0], expected[0, BODY["left_ankle"]], atol=0.01)
    np.testing.assert_allclose(points["mouth_right"][3], expected[3, BODY["nose"]], atol=0.01)
    np.testing.assert_allclose(points["right_ear"][1], expected[1, BODY["nose"]], atol=0.01)
    np.testing.assert_allclose(points["left_wrist"][1], points["left_wrist"][0], atol=0.01)  # seen in the first alone
    assert keypoints.visibility[1, BODY["left_wrist"]] == 0
    seen = observe(keypoints, np.array([[40.0, 0, 15.5], [0, 40, 11.5], [0, 0, 1]]))
    assert not seen.has_world.any() and seen.interpolated.tolist() == [False, False, True, False]
    assert np.isfinite(seen.image).all() and np.isfinite(seen.world).all()


# ------------------------------------------------------------------ order


def at(stage: PeopleKeypoints, subject: Path) -> np.ndarray:
    """x of the nose in each of the subject's pictures, in pixels of the video; NaN where nobody was found."""
    run_stages([stage], subject, force=True)
    keypoints = Keypoints.load(points_path(subject))
    x = (keypoints.image_points[:, BODY["nose"], 0] + 0.5) * 2 - 0.5
    return np.where(keypoints.detected, x, np.nan)


@pytest.mark.parametrize("name", ["frame_{}_keypoints.json", "clip2_{:012d}_keypoints.json", "{}_keypoints.json"])
@pytest.mark.parametrize("first", [0, 1])
def test_names_are_numbers(name: str, first: int, tmp_path: Path):
    """Of 12 pictures, 0, 5 and 10: as text, 10 comes before 5, and a first number of 1 is the first picture."""
    video = write_video(tmp_path / "clip.mp4", grey_levels(12))
    run_stages([VideoFrames(str(video), step=5, max_size=VIDEO[0] // 2)], tmp_path / "subject")
    for i in range(12):
        write_json(tmp_path / "json" / name.format(i + first), {"people": [openpose(person(i))]})
    x = at(OpenPoseKeypoints(str(tmp_path / "json"), lift=False), tmp_path / "subject")
    np.testing.assert_allclose(x, [person(i)[0, 0] for i in (0, 5, 10)], atol=0.01)


def test_as_many_files_as_pictures_go_in_natural_order(tmp_path: Path):
    video = write_video(tmp_path / "clip.mp4", grey_levels(12))
    run_stages([VideoFrames(str(video), max_size=VIDEO[0] // 2)], tmp_path / "subject")
    for i in range(12):
        write_json(tmp_path / "json" / f"shot {i + 7}.json", [coco(person(i))])
    x = at(CocoKeypoints(str(tmp_path / "json"), lift=False), tmp_path / "subject")
    np.testing.assert_allclose(x, [person(i)[0, 0] for i in range(12)], atol=0.01)


@pytest.mark.parametrize("first", [0, 1])
def test_results_without_an_entry_for_empty_pictures(subject: Path, tmp_path: Path, first: int):
    """AlphaPose: as many entries as the subject has pictures, but of other pictures."""
    entries = [{**coco(person(i)), "image_id": f"{i + first:06d}.png"} for i in (0, 3, 5, 6)]
    for entry in entries:
        entry["keypoints"] = np.column_stack([entry["keypoints"], entry.pop("keypoint_scores")]).ravel().tolist()
    x = at(CocoKeypoints(str(write_json(tmp_path / "x.json", entries)), lift=False), subject)
    np.testing.assert_allclose(x, [person(0)[0, 0], np.nan, np.nan, person(6)[0, 0]], atol=0.01)


@pytest.mark.parametrize("count", [26, 136])
def test_halpe(subject: Path, tmp_path: Path, count: int):
    """AlphaPose's docs: head, neck and hip follow COCO's 17, then toes and heels, left before right."""
    given = {**{name: i for i, name in enumerate(COCO_17)}, "left_foot_index": 20, "right_foot_index": 21,
             "left_heel": 24, "right_heel": 25}  # fmt: skip
    if count == 136:  # 26 + 48: the mouth's right corner; 94 + 5: the left forefinger's knuckle
        given |= {"mouth_right": 74, "mouth_left": 80, "left_index": 99, "right_pinky": 132}
    for i in range(8):
        points = np.full((count, 3), [1.0, 1.0, 0.9])
        for name, place in given.items():
            points[place, :2] = person(i)[BODY[name]]
        write_json(tmp_path / "json" / f"{i}.json", {"people": [{"pose_keypoints_2d": points.ravel().tolist()}]})
    run_stages([CocoKeypoints(str(tmp_path / "json"), lift=False)], subject, force=True)
    keypoints = Keypoints.load(points_path(subject))
    for row in range(FRAMES):
        for name in given:
            np.testing.assert_allclose(
                keypoints.image_points[row, BODY[name]], in_subject(person(2 * row))[BODY[name]], atol=0.01
            )


def test_a_person_of_nan_is_absent(subject: Path, tmp_path: Path):
    for i in range(8):
        points = openpose(person(i))
        if i in (2, 3):
            points["pose_keypoints_2d"] = [float("nan")] * 75
        write_json(tmp_path / "json" / f"{i}_keypoints.json", {"people": [points]})
    x = at(OpenPoseKeypoints(str(tmp_path / "json"), lift=False), subject)
    assert np.isnan(x).tolist() == [False, True, False, False]


# ------------------------------------------------------------------ damage


def harmed(content: Any) -> dict[str, Any]:
    """The first person's points, wrong in many ways."""
    key = next(k for k in ("pose_keypoints_2d", "keypoints") if k in content)
    given = content[key]
    changes: dict[str, Any] = {
        "nothing": None, "text": "x", "number": 3, "few": given[:-2], "infinite": [float("inf")] * len(given),
        "huge": [1e300] * len(given), "beyond floats": [10**400] * len(given), "mixed": [[1, 2], [3]],
        "nested": [[[1.0]]], "dict": {"a": 1},
    }  # fmt: skip
    found: dict[str, Any] = {name: {**content, key: value} for name, value in changes.items()}
    found["no points"] = {k: v for k, v in content.items() if k != key}
    found["not a person"] = [1, 2, 3]
    if "keypoint_scores" in content:
        found["few scores"] = {**content, "keypoint_scores": [0.5]}
        found["no scores"] = {k: v for k, v in content.items() if k != "keypoint_scores"}
    if key == "pose_keypoints_2d":
        found["part of a hand"] = {**content, "hand_left_keypoints_2d": [1, 2, 3]}
    return found


def refuse(subject: Path, stage: PeopleKeypoints, path: Path) -> str:
    before = {p: p.read_bytes() for p in subject.rglob("*") if p.is_file()}
    with pytest.raises(UserError) as caught:
        run_stages([stage], subject, force=True)
    assert {p: p.read_bytes() for p in subject.rglob("*") if p.is_file()} == before  # nothing half-written
    said = str(caught.value)
    assert "\n" not in said and (str(path) in said or "nobody" in said) and len(said) < 300 + 2 * len(str(path))
    return said


def test_harmed_openpose_files(subject: Path, tmp_path: Path):
    path = write_openpose(tmp_path / "json")
    file = path / f"clip_{2:012d}_keypoints.json"
    for wrong in harmed(openpose(person(2))).values():
        write_json(file, {"people": [wrong]})
        refuse(subject, OpenPoseKeypoints(str(path), lift=False), path)
    for wrong in ([], 3, {}, {"people": {}}, {"people": None}):
        write_json(file, wrong)
        refuse(subject, OpenPoseKeypoints(str(path), lift=False), path)
    for text in ("", '{"people": [{"pose', "[" * 100_000, "\x00\xff", "__import__('os').system('true')"):
        file.write_text(text)
        refuse(subject, OpenPoseKeypoints(str(path), lift=False), path)
    file.unlink()
    assert "holds 7 pictures for 4 frames" in refuse(subject, OpenPoseKeypoints(str(path), lift=False), path)
    assert "not a folder with" in refuse(subject, OpenPoseKeypoints(str(tmp_path), lift=False), tmp_path)


@pytest.mark.parametrize("kind", [k for k in VIDEO_PEOPLE if "by name" not in k])
def test_harmed_coco_files(subject: Path, tmp_path: Path, kind: str):
    content = VIDEO_PEOPLE[kind](coco)
    path = tmp_path / "x.json"
    stage = CocoKeypoints(str(write_json(path, content)), lift=False)
    if kind == "results":
        del content[0]["category_id"], content[0]["score"]
        for name, wrong in harmed(content[0]).items():
            if name != "not a person":
                write_json(path, [{**wrong, "image_id": 0}, *content[1:]])
                refuse(subject, stage, path)
        write_json(path, [{**entry, "image_id": "nameless"} for entry in content])
        assert "does not end in a picture's number" in refuse(subject, stage, path)
        write_json(path, [{**entry, "image_id": entry["image_id"] + 100} for entry in content])
        assert "for 4 frames" in refuse(subject, stage, path)
        return
    for wrong in harmed(coco(person(0))).values():
        changed = copy.deepcopy(content)
        first = changed["instance_info"] if kind == "instance_info" else changed
        (first[0]["instances"] if isinstance(first[0], dict) else first[0])[0] = wrong
        write_json(path, changed)
        refuse(subject, stage, path)


def test_coco_files_that_are_something_else(subject: Path, tmp_path: Path):
    path = tmp_path / "x.json"
    stage = CocoKeypoints(str(write_json(path, [])), lift=False)
    for wrong in ([], {}, 3, None, "x", [3], [None] * 8, [{}] * 8, [{"frame_id": "0", "instances": []}] * 8, [[]] * 5):
        write_json(path, wrong)
        refuse(subject, stage, path)
    write_json(path, [[]] * 8)
    assert "nobody was found" in refuse(subject, stage, path)
    for text in ("", "[[{", "[" * 100_000, "\x00"):
        path.write_text(text)
        refuse(subject, stage, path)


def test_damaged_subject(subject: Path, tmp_path: Path):
    path = write_openpose(tmp_path / "json")
    SubjectWriter(subject).update_meta(video={"pictures": [0], "seconds": [0.0]})
    assert "run the frames stage again" in refuse(subject, OpenPoseKeypoints(str(path), lift=False), subject)


def test_a_size_that_is_none():
    with pytest.raises(UserError, match=r"size=\[3\]"):
        CocoKeypoints(str(Path(__file__)), size=[3])
