"""Each data set becomes a subject folder: bodies in millimetres, masks in IoU, splits by picture."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.smpl.body import SmplBody
from hashhuman.data.splits import split
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.files import load_npz, read_image, save_npy, write_image
from preprocess.body_fit.dataset import DatasetFit
from preprocess.dataset.instant_avatar import InstantAvatar
from preprocess.dataset.layout import Dataset
from preprocess.dataset.neuman import NeuMan, neuman_splits
from preprocess.dataset.people_snapshot import PeopleSnapshot
from preprocess.frames.dataset import DatasetFrames
from preprocess.masks.dataset import DatasetMasks
from preprocess.stage import run_stages
from tests import smpl_files
from tests.preprocess.dataset import miniature
from tests.preprocess.dataset.miniature import Person

N = 12
SPLITS = {"female-3-casual": {"train": [0, 7, 2], "test": [8, 11, 3]}}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return miniature.model()


@pytest.fixture(scope="module")
def smpl(arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mannequin under SMPL's names, for every sex."""
    root = tmp_path_factory.mktemp("smpl")
    for sex in ("FEMALE", "MALE", "NEUTRAL"):
        smpl_files.write_pickle(root / f"SMPL_{sex}.pkl", arrays)
    return root


@pytest.fixture(scope="module")
def who(arrays) -> Person:
    return miniature.person(N, arrays)


def made(dataset: Dataset, smpl: Path, subject: Path, sex: str = "NEUTRAL", masks: bool = True) -> Subject:
    body = functools.partial(SmplBody, root=str(smpl), model=f"SMPL_{sex}.pkl")
    fit = DatasetFit(body, dataset, pictures=1)
    assert fit.missing() is None
    run_stages([DatasetFrames(dataset), fit, *([DatasetMasks(dataset, pictures=1)] if masks else [])], subject)
    return Subject(subject)


def check(subject: Subject, truth: np.ndarray, numbers: list[int], millimetres: float = 0.05) -> None:
    """The subject's frames are these pictures: bodies lie where the truth does, and pictures and masks with them."""
    assert len(subject.frames) == len(numbers)
    for picture, number in zip(subject.pictures, numbers):
        vertices = subject.vertices(picture.frame)
        assert np.abs(vertices - truth[number]).max() < millimetres / 1000
        seen, mask = miniature.silhouette(truth[number]), subject.mask(picture) > 0.5
        camera = subject.camera(0)
        if camera.K.numpy().round(3).tolist() != miniature.K.round(3).tolist():  # rectified
            pixels = camera.project(torch.from_numpy(vertices)).numpy()
            seen = miniature.rasterise(pixels, miniature.FACES, camera.height, camera.width) >= 0
        light = subject.image(picture).mean(-1) > 130
        for other in (mask, light):
            assert (seen & other).sum() / (seen | other).sum() > 0.95


# ------------------------------------------------------------------ PeopleSnapshot


def test_people_snapshot(who: Person, smpl: Path, tmp_path: Path):
    pytest.importorskip("h5py")
    folder = miniature.people_snapshot(tmp_path / "female-3-casual", who)
    subject = made(PeopleSnapshot(str(folder), SPLITS), smpl, tmp_path / "subject", "FEMALE")
    check(subject, who.vertices, [0, 2, 4, 6, 8, 11])
    splits = split(subject)
    assert {name: [p.frame for p in pictures] for name, pictures in splits.items() if pictures} == {
        "train": [0, 1, 2, 3], "novel_pose": [4, 5],
    }  # fmt: skip
    assert subject.meta["video"]["pictures"] == [0, 2, 4, 6, 8, 11]
    assert not load_npz(tmp_path / "subject/body_fit.npz")["interpolated"].any()


def test_people_snapshot_with_a_pose_more_than_masks(who: Person, smpl: Path, tmp_path: Path, caplog):
    pytest.importorskip("h5py")
    folder = miniature.people_snapshot(tmp_path / "male-9-plaza", who, more_poses=1)
    subject = made(PeopleSnapshot(str(folder), SPLITS, first_pose=1), smpl, tmp_path / "subject", "MALE")
    check(subject, who.vertices, list(range(N)))
    assert [p.frame for p in split(subject)["heldout"]] == [5]  # nothing is published for this one
    assert "13 poses for 12 masks" not in caplog.text
    PeopleSnapshot(str(folder), SPLITS).poses()
    assert "13 poses for 12 masks" in caplog.text and "first_pose=1 leaves it out" in caplog.text


def test_a_pose_that_was_never_written_is_filled_in(who: Person, smpl: Path, tmp_path: Path):
    """The fit of videoavatars leaves the last row at zero."""
    h5py = pytest.importorskip("h5py")
    folder = miniature.people_snapshot(tmp_path / "female-9", who)
    with h5py.File(folder / "reconstructed_poses.hdf5", "r+") as file:
        file["pose"][-1] = file["trans"][-1] = 0
    subject = made(PeopleSnapshot(str(folder), {}), smpl, tmp_path / "subject", "FEMALE", masks=False)
    assert load_npz(tmp_path / "subject/body_fit.npz")["interpolated"].nonzero()[0].tolist() == [N - 1]
    np.testing.assert_allclose(subject.vertices(N - 1), subject.vertices(N - 2), atol=1e-5)
    with h5py.File(folder / "reconstructed_poses.hdf5", "r+") as file:
        file["trans"][4:] = 0
    with pytest.raises(UserError, match=r"reconstructed_poses\.hdf5.*: 8 of the 12 pictures have no pose"):
        made(PeopleSnapshot(str(folder), {}), smpl, tmp_path / "other", "FEMALE")


def test_people_snapshot_says_what_is_wrong(who: Person, smpl: Path, tmp_path: Path):
    h5py = pytest.importorskip("h5py")
    folder = miniature.people_snapshot(tmp_path / "female-3-casual", who)
    dataset = PeopleSnapshot(str(folder), SPLITS)
    body = functools.partial(SmplBody, root=str(smpl), model="SMPL_MALE.pkl")
    assert "fitted with the female SMPL, not SMPL_MALE.pkl: add body=smpl_female" in str(
        DatasetFit(body, dataset).missing()
    )
    assert "add body=smpl and body.root=FOLDER" in str(DatasetFit(miniature.mesh, dataset).missing())  # type: ignore[arg-type]
    with h5py.File(folder / "masks.hdf5", "w") as file:
        file["else"] = np.zeros(3)
        file["masks"] = h5py.ExternalLink(str(folder / "reconstructed_poses.hdf5"), "pose")
    with pytest.raises(UserError, match=r"masks\.hdf5 has no array 'masks' of its own"):
        dataset.mask(0)
    (folder / "masks.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 90)
    with pytest.raises(UserError, match=r"masks\.hdf5 is not a readable HDF5 file"):
        dataset.mask(0)
    (folder / "reconstructed_poses.hdf5").unlink()
    with pytest.raises(UserError, match=r"reconstructed_poses\.hdf5 does not exist, and is part of this data set"):
        dataset.poses()
    (folder / "camera.pkl").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(UserError, match=r"camera\.pkl must hold camera_f, "):
        PeopleSnapshot(str(folder), SPLITS).lens()
    (folder / "female-3-casual.mp4").unlink()
    with pytest.raises(UserError, match=r"must hold the recording's video, female-3-casual\.mp4"):
        dataset.pictures()
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        PeopleSnapshot(str(tmp_path / "nowhere"), SPLITS).lens()


# ------------------------------------------------------------------ InstantAvatar


@pytest.mark.parametrize("suffix", [".npy", ".png"])
def test_instant_avatar(arrays, smpl: Path, tmp_path: Path, suffix: str):
    """A world of its own, poses before and after their refinement, and no published splits."""
    R, T = miniature.EXTRINSIC[:3, :3], miniature.EXTRINSIC[:3, 3]
    who = miniature.person(N, arrays, Rotation.from_matrix(R).inv())
    who = miniature.with_vertices(who.pose, who.transl - R.T @ T, who.shapes, arrays)
    folder = miniature.instant_avatar(tmp_path / "mine", who, miniature.EXTRINSIC, suffix)
    subject = made(InstantAvatar(str(folder), SPLITS), smpl, tmp_path / "subject")
    check(subject, who.vertices @ R.T + T, list(range(N)))
    assert [p.frame for p in split(subject)["heldout"]] == [5]
    better = miniature.with_vertices(who.pose + 0.02, who.transl, who.shapes, arrays)
    miniature.write_poses(folder / "poses_optimized.npz", better, slice(None))
    subject = made(InstantAvatar(str(folder), SPLITS), smpl, tmp_path / "other", masks=False)
    assert np.abs(subject.vertices(3) - (better.vertices[3] @ R.T + T)).max() < 5e-5
    subject = made(InstantAvatar(str(folder), SPLITS, poses="poses.npz"), smpl, tmp_path / "first", masks=False)
    assert np.abs(subject.vertices(3) - (who.vertices[3] @ R.T + T)).max() < 5e-5


def test_instant_avatar_poses_of_each_split(who: Person, arrays, smpl: Path, tmp_path: Path):
    """The test's shape is another than that of training: the pelvis stays where it was."""
    folder = miniature.instant_avatar(tmp_path / "female-3-casual", who, np.eye(4))
    train, test = [0, 2, 4, 6], [8, 11]
    other = miniature.with_vertices(who.pose, who.transl, who.shapes + np.array([0.3, -0.2, 0.1, 0]), arrays)
    miniature.write_poses(folder / "poses/anim_nerf_train.npz", who, train, split=True)
    miniature.write_poses(folder / "poses/anim_nerf_test.npz", other, test, split=True)
    subject = made(InstantAvatar(str(folder), SPLITS), smpl, tmp_path / "subject", "FEMALE")
    assert subject.meta["video"]["pictures"] == train + test
    for frame, number in enumerate(train):
        assert np.abs(subject.vertices(frame) - who.vertices[number]).max() < 5e-5
    names = [[p.frame for p in split(subject)[name]] for name in ("train", "novel_pose")]
    assert names == [[0, 1, 2, 3], [4, 5]]
    for frame, number in ((4, 8), (5, 11)):
        pelvis, _ = smpl_files.posed_by_hand(arrays, other.shapes[number], who.pose[number])
        bodies = load_npz(tmp_path / "subject/body_fit.npz")["joints"]
        np.testing.assert_allclose(bodies[frame, 0], pelvis[0] + who.transl[number], atol=5e-5)
    miniature.write_poses(folder / "poses/anim_nerf_test.npz", other, [8], split=True)
    with pytest.raises(UserError, match=r"anim_nerf_test\.npz holds 1 poses for 2 pictures"):
        made(InstantAvatar(str(folder), SPLITS), smpl, tmp_path / "wrong", "FEMALE")


def test_instant_avatar_says_what_is_wrong(who: Person, tmp_path: Path):
    folder = miniature.instant_avatar(tmp_path / "mine", who, np.eye(4))
    dataset = InstantAvatar(str(folder), {})
    (folder / "masks/mask_0003.npy").unlink()
    assert dataset.mask(3) is None
    mask = dataset.mask(4)
    assert mask is not None and mask.path.name == "mask_0004.npy"
    np.savez(folder / "poses.npz", thetas=np.zeros((N, 72)), transl=np.zeros((N, 3)))
    with pytest.raises(UserError, match=r"poses\.npz has no 'betas'"):
        dataset.poses()
    np.savez(folder / "cameras.npz", intrinsic=np.zeros((3, 3)), extrinsic=np.eye(4))
    with pytest.raises(UserError, match="intrinsic must hold positive focal lengths"):
        dataset.lens()
    (folder / "poses.npz").unlink()
    with pytest.raises(UserError, match=r"poses\.npz does not exist, and is part of this data set"):
        dataset.pose_files()
    with pytest.raises(UserError, match=r"nowhere/images holds no pictures"):
        InstantAvatar(str(tmp_path / "nowhere"), {}).pictures()


# ------------------------------------------------------------------ NeuMan


@pytest.mark.parametrize(
    ("fit", "masks"), [("optimized", "segmentations"), ("4d_humans", "4d_humans/sam_segmentations")]
)
def test_neuman(who: Person, smpl: Path, tmp_path: Path, fit, masks: str):
    """The camera moves and the scene has a unit of its own: bodies come back in each camera's axes, in metres."""
    folder = miniature.neuman(tmp_path / "bike", who)
    subject = made(NeuMan(str(folder), fit, masks, ["test", "val"]), smpl, tmp_path / "subject")
    check(subject, who.vertices, list(range(N)))
    np.testing.assert_allclose(subject.camera(0).K, miniature.K, atol=1e-4)
    splits = split(subject)
    assert [p.frame for p in splits["heldout"]] == [3, 9]
    assert [p.frame for p in splits["train"]] == [0, 1, 2, 4, 5, 6, 7, 8, 10, 11]


def test_neuman_shapes_that_differ_from_picture_to_picture(who: Person, arrays, smpl: Path, tmp_path: Path):
    """As ROMP guesses them; the avatar has their mean, and each pelvis stays where it was."""
    rng = np.random.default_rng(5)
    shapes = who.shapes + rng.normal(0, 0.2, who.shapes.shape)
    each = miniature.with_vertices(who.pose, who.transl, shapes, arrays)
    folder = miniature.neuman(tmp_path / "lab", each)
    subject = made(NeuMan(str(folder), "optimized", "segmentations", ["test"]), smpl, tmp_path / "subject", masks=False)
    bodies = load_npz(tmp_path / "subject/body_fit.npz")["joints"]
    taken = subject.meta["video"]["pictures"]
    for row, number in enumerate(taken):
        pelvis, _ = smpl_files.posed_by_hand(arrays, shapes[number], who.pose[number])
        np.testing.assert_allclose(bodies[row, 0], pelvis[0] + who.transl[number], atol=5e-5)
    rest = arrays["v_template"] + arrays["shapedirs"] @ shapes.mean(0)
    np.testing.assert_allclose(subject.template().vertices, rest, atol=1e-5)
    assert 9 not in taken  # a picture for validation, which is neither trained on nor held out


def test_neumans_own_lists_of_splits(who: Person, smpl: Path, tmp_path: Path):
    folder = miniature.neuman(tmp_path / "bike", who)
    lists = {"train": [0, 1, 2, 3, 4, 5, 6], "val": [7, 8], "test": [9, 10]}
    for name, numbers in lists.items():
        (folder / f"{name}_split.txt").write_text("".join(f"{n:05d}.png\n" for n in numbers))
    dataset = NeuMan(str(folder), "romp", "segmentations", ["val"])
    assert dataset.splits() == {"train": lists["train"], "heldout": [7, 8], "novel_pose": []}
    (folder / "val_split.txt").write_text("00099.png\n")
    with pytest.raises(UserError, match=r"name 00099\.png, which .*images lacks"):
        dataset.splits()


def test_neumans_rule():
    """41 pictures, as in its scene `seattle`: eight are held out, five apart, the late half for validation."""
    splits = neuman_splits(range(41))
    assert splits["test"] == [2, 7, 12, 17] and splits["val"] == [22, 27, 32, 37]
    assert len(splits["train"]) == 33
    assert neuman_splits([3, 4, 5]) == {"train": [3, 4, 5], "test": [], "val": []}


def test_neumans_masks_go_by_name_whichever_lack(who: Person, tmp_path: Path):
    folder = miniature.neuman(tmp_path / "bike", who)
    masks = sorted((folder / "segmentations").iterdir())
    masks[0].unlink()
    for path in masks[1:]:
        write_image(path.with_suffix(".jpg"), read_image(path))
        path.unlink()
    (folder / "segmentations/all.jpg").write_bytes(b"")  # as many files as pictures again
    dataset = NeuMan(str(folder), "optimized", "segmentations", ["test"])
    assert dataset.mask(0) is None
    second = dataset.mask(1)
    assert second is not None and second.path == masks[1].with_suffix(".jpg")


def test_neuman_says_what_is_wrong(who: Person, tmp_path: Path):
    folder = miniature.neuman(tmp_path / "bike", who)

    def dataset() -> NeuMan:
        return NeuMan(str(folder), "optimized", "segmentations", ["test"])

    with pytest.raises(UserError, match=r"preprocess\.dataset\.held_out=\['train'\] must hold test, val or both"):
        NeuMan(str(folder), "optimized", "segmentations", ["train"])
    with pytest.raises(UserError, match=r"holds no masks: name their folder with preprocess\.dataset\.masks="):
        NeuMan(str(folder), "optimized", "elsewhere", ["test"]).mask(0)
    (folder / "segmentations/00003.png").unlink()
    assert dataset().mask(3) is None
    save_npy(folder / "alignments.npy", {"00000.png": np.zeros((4, 3))})
    with pytest.raises(UserError, match=r"alignments\.npy must hold a 4 x 3 matrix for each"):
        dataset().poses()
    save_npy(folder / "alignments.npy", {f"{i:05d}.png": np.ones((4, 3)) for i in range(N)})
    with pytest.raises(UserError, match=r"alignments\.npy holds matrices that do more than turn, scale and move"):
        dataset().poses()
    sparse = folder / "sparse/cameras.txt"
    sparse.write_text(sparse.read_text() + f"2 PINHOLE {miniature.SIZE} {miniature.SIZE} 99 99 60 60\n")
    images = folder / "sparse/images.txt"
    images.write_text(images.read_text().replace(" 1 00004.png", " 2 00004.png"))
    with pytest.raises(UserError, match=r"cameras\.txt has several cameras"):
        dataset().lens()


def test_settings_are_json(tmp_path: Path):
    for dataset in (
        PeopleSnapshot("x", SPLITS), InstantAvatar("x", SPLITS), NeuMan("x", "romp", "segmentations", ["val"]),
    ):  # fmt: skip
        assert json.loads(json.dumps(dataset.settings())) == dataset.settings()
