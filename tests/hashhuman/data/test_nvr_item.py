"""Every name of instant-nvr's item exists, is documented, and has the documented value."""

import importlib
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hashhuman.data import nvr_item as module
from hashhuman.data.nvr_item import mark_edge, nvr_item
from hashhuman.data.subject import Subject
from tests import toy

DOCUMENT = Path(__file__).parents[3] / "docs" / "data_stream.md"
# The keys that the field's dataset yields, as its flowchart groups them.
ITEM_NAMES = re.findall(
    r"\w+",
    """
    rgb occupancy mask_at_box ray_o ray_d near far coord
    A big_A pbw tbw tuv pbounds wbounds tbounds
    frame_dim latent_index bw_latent_index frame_index
    ppts wpts tpts sub_ppts faces joints parents weights parts part_pts part_pbw lengths2 bounds
    sem_mask msk orig_msk
    H W R Th K D T
    """,
)
# The flowchart's other nodes: files and programs.
FLOWCHART_NODES = re.findall(
    r"\w+",
    """
    images keypoints default_camera smpl smpl_uv J_regressor_body25 SMPL_NEUTRAL smpl_vertices smpl_params annots
    cropschp mask get_bigpose_uv get_bigpose_bw get_bw_per_frame bigpose_uv bigpose_vertices bigpose_bw bw_per_frame
    smpl_weights camera HW smpl_R smpl_Rh smpl_Th get_mask semantic_masks prepare_input get_rays prepare_zjumocap
    easymocap schp
    """,
)
N_SUB_POINTS = 10


def tables() -> list[list[str]]:
    """The cells of every row of the document's tables."""
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


ITEM_ROWS = {row[0].strip("`"): row for row in tables() if len(row) == 7}
NODE_ROWS = [row for row in tables() if len(row) == 3]


@pytest.fixture(scope="module")
def items(toy_folder: Path) -> dict[str, dict]:
    subject = Subject(toy_folder)
    picture = next(p for p in subject.pictures if p.camera == 1 and p.frame == 2)
    generator = torch.Generator().manual_seed(0)
    arguments = {"train_frames": [0, 1, 2, 3], "n_sub_points": N_SUB_POINTS, "parts": toy.PARTS, "generator": generator}
    test = nvr_item(subject, picture, **arguments)
    train = nvr_item(subject, picture, n_rays=200, **arguments)
    return {"test": test, "train": train}


def test_the_map_is_complete(items):
    assert set(ITEM_NAMES) <= set(ITEM_ROWS)
    for item in items.values():
        assert set(item) == set(ITEM_ROWS)
    nodes = {name for row in NODE_ROWS for name in re.findall(r"`(\w+)`", row[0])} | set(ITEM_ROWS)
    assert set(FLOWCHART_NODES) <= nodes


@pytest.mark.parametrize("row", [*ITEM_ROWS.values(), *NODE_ROWS], ids=lambda row: row[0])
def test_the_named_functions_exist(row: list[str]):
    path = row[-1].strip("`").split(".")
    assert path[0] in ("hashhuman", "preprocess")
    found = None
    for split in range(len(path), 0, -1):
        try:
            found = importlib.import_module(".".join(path[:split]))
        except ModuleNotFoundError as error:
            if error.name is None or not ".".join(path).startswith(error.name):
                raise
            continue
        for name in path[split:]:
            found = getattr(found, name)
        break
    assert callable(found)


@pytest.mark.parametrize("kind", ["test", "train"])
@pytest.mark.parametrize("row", ITEM_ROWS.values(), ids=lambda row: row[0])
def test_shapes_and_types_are_as_documented(items, row: list[str], kind: str):
    name, shape, dtype = row[0].strip("`"), row[2], row[3]
    value, item = items[kind][name], items[kind]
    hits = len(item["coord"])
    sizes = {"J": 5, "J+1": 6, "V": 40, "F": 60, "P": 5, "M": 8, "S": N_SUB_POINTS, "H": 48, "W": 48, "N": hits}
    if kind == "test" and name == "mask_at_box":
        sizes["N"] = 48 * 48
    for prefix, volume in (("", item["tbw"]), ("'", item["pbw"])):
        sizes |= dict(zip(("X" + prefix, "Y" + prefix, "Z" + prefix), volume.shape[:3]))
    if dtype == "int":
        assert shape == "scalar"
        assert type(value) is int
        return
    expected = () if shape == "scalar" else tuple(sizes.get(n) or int(n) for n in shape.split(" × "))
    assert tuple(value.shape) == expected
    assert str(value.dtype) == f"torch.{dtype}"


def test_ray_semantics(items):
    """Rays from the camera pass through their pixels, and near and far lie on the box's faces."""
    for item in items.values():
        K, R, T = item["K"], item["cam_R"], item["T"]
        points = item["ray_o"] + 2.0 * item["ray_d"]
        seen = (points @ R.T + T.T) @ K.T
        pixels = seen[:, :2] / seen[:, 2:]
        torch.testing.assert_close(pixels.flip(-1), item["coord"].float(), atol=1e-3, rtol=0)
        torch.testing.assert_close(item["ray_d"].norm(dim=1), torch.ones(len(points)))
        low, high = item["wbounds"]
        for t in (item["near"], item["far"]):
            ends = item["ray_o"] + t[:, None] * item["ray_d"]
            assert ((ends > low - 1e-4) & (ends < high + 1e-4)).all()
            on_face = torch.minimum((ends - low).abs(), (ends - high).abs()).amin(1)
            assert on_face.max() < 1e-4
        assert (item["near"] < item["far"]).all()


def test_box_pixels_are_those_of_the_projected_box(items):
    item = items["test"]
    low, high = item["wbounds"].numpy()
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    seen = (corners @ item["cam_R"].numpy().T + item["T"].numpy().T) @ item["K"].numpy().T
    hull = cv2.convexHull((seen[:, :2] / seen[:, 2:]).astype(np.float32))
    hit = item["mask_at_box"].reshape(48, 48).numpy()
    for row in range(48):
        for column in range(48):
            inside = cv2.pointPolygonTest(hull, (float(column), float(row)), True)
            assert abs(inside) < 0.01 or hit[row, column] == (inside > 0)
    np.testing.assert_array_equal(np.argwhere(hit), item["coord"].numpy())


def test_colours_and_masks(items, toy_subject: Subject):
    picture = next(p for p in toy_subject.pictures if p.camera == 1 and p.frame == 2)
    image, mask = toy_subject.image(picture), toy_subject.mask(picture)
    for item in items.values():
        row, column = item["coord"].T.numpy()
        np.testing.assert_allclose(item["rgb"].numpy() * 255, image[row, column], atol=1e-4)
        np.testing.assert_array_equal(item["occupancy"].numpy(), mask[row, column])
        msk = item["msk"].numpy()[row, column]
        if item is items["train"]:
            assert item["mask_at_box"].all()
            assert len(row) == 200
            assert (msk != 100).all()
            assert (msk[:100] == 1).all()
            assert (msk[100:] == 0).any()
    labels = toy_subject.parts(picture)
    sem = items["test"]["sem_mask"].numpy()
    for index, name in enumerate(toy.PARTS):
        joint = toy.PARTS[name][0]
        np.testing.assert_array_equal(sem[index], labels == toy.LIP_CLASS[joint])
    assert (sem.sum(0) == items["test"]["orig_msk"].numpy()).all()


def test_edges_are_within_two_pixels_of_the_outline():
    mask = np.zeros((20, 20), np.uint8)
    mask[8:, 8:] = 1
    marked = mark_edge(mask)
    assert set(np.unique(marked)) == {0, 1, 100}
    row = marked[15]
    assert list(row) == [0] * 6 + [100] * 4 + [1] * 10


def test_blend_weight_semantics(items):
    """Posed points are world points without Rh and Th; A and big_A carry rest vertices to posed and canonical ones."""
    item = items["test"]
    R, Th = item["R"].numpy(), item["Th"].numpy()
    pose = toy.pose(2)
    np.testing.assert_allclose(R, cv2.Rodrigues(pose.orient.double().numpy())[0], atol=1e-6)
    np.testing.assert_allclose((item["wpts"].numpy() - Th) @ R, item["ppts"].numpy(), atol=1e-5)
    rest = toy.template().vertices.numpy()
    for transforms, name in ((item["A"], "ppts"), (item["big_A"], "tpts")):
        blended = np.einsum("vj,jab->vab", item["weights"].numpy(), transforms.numpy())
        moved = np.einsum("vab,vb->va", blended[:, :3, :3], rest) + blended[:, :3, 3]
        np.testing.assert_allclose(moved, item[name].numpy(), atol=1e-5)
    for points, bounds in (("ppts", "pbounds"), ("wpts", "wbounds"), ("tpts", "tbounds")):
        values = item[points].numpy()
        np.testing.assert_allclose(item[bounds].numpy(), [values.min(0) - 0.05, values.max(0) + 0.05], atol=1e-6)


def test_part_semantics(items):
    item = items["train"]
    parts, lengths = item["parts"], item["lengths2"]
    assert lengths.tolist() == [8, 8, 8, 8, 8]
    assert parts.tolist() == [0] * 8 + [2] * 8 + [3] * 8 + [4] * 8 + [1] * 8  # boxes: torso, head, arms, leg
    for index in range(5):
        torch.testing.assert_close(item["part_pts"][index], item["ppts"][parts == index])
        torch.testing.assert_close(item["part_pbw"][index], item["weights"][parts == index])
        box = item["tpts"][parts == index]
        torch.testing.assert_close(item["bounds"][index], torch.stack([box.amin(0) - 0.2, box.amax(0) + 0.2]))
    distance = (item["sub_ppts"][:, None] - item["ppts"][None]).norm(dim=-1)
    assert (distance.amin(1) == 0).all()
    assert len(set(distance.argmin(1).tolist())) == N_SUB_POINTS


def test_parts_are_padded_to_the_largest(toy_subject: Subject, toy_template):
    parts = {"all_but_head": [n for n in toy.JOINT_NAMES if n != "head"], "head": ["head"]}
    points = toy_template.vertices
    nodes = module.part_nodes(toy_template, points, points, parts)
    assert nodes["lengths2"].tolist() == [32, 8]
    assert nodes["part_pts"].shape == (2, 32, 3)
    assert not nodes["part_pts"][1, 8:].any()


@pytest.mark.parametrize(
    ("frame", "expected"), [(0, (0, 0, 0.0)), (3, (1, 1, 0.5)), (1, (1, 0, 0.5)), (5, (1, 3, 0.5))]
)
def test_latent_indices(toy_subject: Subject, frame: int, expected: tuple):
    """Training frames are numbered; the others use the last one's code and count from 0 among themselves."""
    picture = next(p for p in toy_subject.pictures if p.frame == frame)
    nodes = module.index_nodes(toy_subject, picture, [0, 3])
    assert (nodes["latent_index"], nodes["bw_latent_index"], nodes["frame_dim"].item()) == expected
    assert nodes["frame_index"] == frame


def test_random_choices_follow_the_generator(toy_subject: Subject):
    picture = toy_subject.pictures[0]
    draws = [
        nvr_item(toy_subject, picture, [0], 50, 5, toy.PARTS, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    for name in ("coord", "sub_ppts"):
        assert torch.equal(draws[0][name], draws[1][name])
        assert not torch.equal(draws[0][name], draws[2][name])
