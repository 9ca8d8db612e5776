import numpy as np
import pytest
import torch
from rich.progress import Progress

from hashhuman.body import volumes
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.io.files import load_npy, read_image
from preprocess.stage import files_under, is_finished, run_stages
from tests import toy

pytest.importorskip("igl")
from preprocess.blend_weights import BlendWeightVolumes, closest_on_surface


def closest_by_brute_force(point, triangles):
    """Distance from a point to the nearest triangle, by a fine grid of barycentric coordinates and a projection."""
    a, b, c = triangles.transpose(1, 0, 2)
    u, v = b - a, c - a
    gram = np.stack([np.stack([(u * u).sum(1), (u * v).sum(1)], 1), np.stack([(u * v).sum(1), (v * v).sum(1)], 1)], 1)
    inner = np.linalg.solve(gram, np.stack([((point - a) * u).sum(1), ((point - a) * v).sum(1)], 1)[..., None])[..., 0]
    inside = (inner >= 0).all(1) & (inner.sum(1) <= 1)
    distances = [np.linalg.norm(a + inner[:, :1] * u + inner[:, 1:] * v - point, axis=1)[inside].min(initial=np.inf)]
    for start, end in ((a, b), (b, c), (c, a)):
        t = (((point - start) * (end - start)).sum(1) / ((end - start) ** 2).sum(1)).clip(0, 1)
        distances.append(np.linalg.norm(start + t[:, None] * (end - start) - point, axis=1).min())
    return min(distances)


def test_closest_points_are_the_closest():
    body = toy.template()
    vertices, faces = body.vertices.double().numpy(), body.faces.numpy()
    points = np.random.default_rng(0).uniform(vertices.min(0) - 0.2, vertices.max(0) + 0.2, (200, 3))
    corners, weights, distance = closest_on_surface(points, vertices, faces)
    np.testing.assert_allclose(distance, [closest_by_brute_force(p, vertices[faces]) for p in points], atol=1e-9)
    foot = np.einsum("nk,nkd->nd", weights, vertices[corners])
    np.testing.assert_allclose(np.linalg.norm(foot - points, axis=1), distance, atol=1e-9)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1)


def test_faces_without_area_do_no_harm():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    corners, weights, distance = closest_on_surface(np.array([[0.0, 3, 4]]), vertices, np.array([[0, 1, 2]]))
    assert np.isfinite(weights).all() and distance[0] == 5 and corners.tolist() == [[0, 1, 2]]


def test_weights_are_interpolated_between_the_corners(tmp_path):
    root = toy.write_subject(tmp_path, n_frames=2, n_cameras=1)
    run_stages([BlendWeightVolumes()], root)
    volume, origin, step = Subject(root).blend_weight_volume()
    # above the middle of the torso's front face, a quarter in from its right edge: by hand, all weight on the pelvis;
    # left arm, where its bone meets the torso 70 % and outside all of the arm's own
    body = toy.template()
    sample = lambda *p: volumes.sample_volume(torch.tensor(volume), torch.tensor(origin), step, torch.tensor(p))
    torso = sample(0.05, 0.30, 0.15)
    np.testing.assert_allclose(torso, [1, 0, 0, 0, 0, 0.03], atol=2e-3)
    arm = sample(0.45, 0.50, 0.08)  # half way along: (1 + 0.7) / 2
    np.testing.assert_allclose(arm, [0.15, 0, 0.85, 0, 0, 0.02], atol=2e-3)
    assert volume.shape[-1] == len(body.parents) + 1


def test_writes_the_fields_files(tmp_path):
    root = toy.write_subject(tmp_path, n_frames=3, n_cameras=1)
    stage = BlendWeightVolumes(per_frame=True)
    with Progress(disable=True) as progress:
        stage.run(root, progress)
    reader = Subject(root)
    shape = volumes.grid_nodes(reader.big_pose_vertices()).shape[:3]
    assert load_npy(root / "smpl_lbs/bigpose_bw.npy").shape == (*shape, 6)
    assert load_npy(root / "bigpose_uv.npy").shape == (*shape, 2)
    assert load_npy(root / "smpl_lbs/tbw.npy").shape[-1] == 6
    posed = load_npy(root / "smpl_lbs/bweights/2.npy")
    vertices = reader.posed_vertices(2)
    nodes = volumes.grid_nodes(vertices)
    assert posed.shape == (*nodes.shape[:3], 6) and posed.dtype == np.float32
    np.testing.assert_allclose(posed[..., :-1].sum(-1), 1, atol=1e-5)
    at = (5, 9, 6)
    nearest = closest_by_brute_force(nodes[at], vertices.astype(float)[reader.template().faces.numpy()])
    np.testing.assert_allclose(posed[at][-1], nearest, atol=1e-6)
    assert len(files_under(stage.outputs(root), root)) == 3 + 3 + 3


def test_binary_masks_for_readers_that_take_everything_but_zero(tmp_path):
    root = toy.write_subject(tmp_path, n_frames=2, n_cameras=2)
    soft = np.tile(np.linspace(0, 1, toy.SIZE, dtype=np.float32), (toy.SIZE, 1))
    SubjectWriter(root).write_mask(1, 0, soft)
    with Progress(disable=True) as progress:
        BlendWeightVolumes(per_frame=True).run(root, progress)
    binary = read_image(root / "mask_cihp/images/01/000000.png")
    np.testing.assert_array_equal(binary, np.where(np.rint(soft * 255) >= 127.5, 255, 0))
    reader = Subject(root)
    first = next(picture for picture in reader.pictures if (picture.camera, picture.frame) == (1, 0))
    np.testing.assert_allclose(reader.mask(first), soft, atol=1 / 255)  # we still read the coverage


def test_is_stamped(tmp_path):
    root = toy.write_subject(tmp_path, n_frames=2, n_cameras=1)
    stage = BlendWeightVolumes()
    run_stages([stage], root)
    assert is_finished(stage, root) and not is_finished(BlendWeightVolumes(per_frame=True), root)
    assert not (root / "smpl_lbs/bweights").exists()
