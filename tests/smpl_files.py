"""Model files in SMPL's format, made of any body: pickles with chumpy's and SciPy's classes under their real names."""

import contextlib
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.sparse import csc_matrix
from scipy.spatial.transform import Rotation

from hashhuman.body.template import BodyTemplate

CHUMPY = {"chumpy.ch": ("Ch", "MatVecMult"), "chumpy.reordering": ("Select", "Reshape", "transpose")}
ROOT = 2**32 - 1


class Expression:
    """What chumpy's classes share: their state is pickled with what they keep books with."""

    def __init__(self, **state: object) -> None:
        self.__dict__.update(_dirty_vars={"x"}, _itr=None, _make_dense=False, _depends_on_deps={}, **state)


@contextlib.contextmanager
def chumpy() -> Iterator[types.SimpleNamespace]:
    """Classes that pickle as chumpy's do: as their state."""
    classes, modules = types.SimpleNamespace(), {"chumpy": types.ModuleType("chumpy")}
    for module, names in CHUMPY.items():
        modules[module] = types.ModuleType(module)
        for name in names:
            made = type(name, (Expression,), {"__module__": module})
            setattr(modules[module], name, made)
            setattr(classes, name, made)
    sys.modules.update(modules)
    try:
        yield classes
    finally:
        for module in modules:
            del sys.modules[module]


def model(body: BodyTemplate, n_betas: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """A model whose mean is the body, with random blend shapes of a few centimetres."""
    rng = np.random.default_rng(seed)
    vertices, joints = body.vertices.double().numpy(), body.joints.double().numpy()
    count = len(body.parents)
    posedirs = np.zeros((len(vertices), 3, 9 * (count - 1)), np.float32)
    some = rng.choice(len(vertices), min(len(vertices), 300), replace=False)
    posedirs[some] = rng.normal(0, 0.01, posedirs[some].shape)
    return {
        "v_template": vertices,
        "shapedirs": rng.normal(0, 0.02, (len(vertices), 3, n_betas)),
        "posedirs": posedirs,
        "J_regressor": np.stack([regressor(vertices, joint) for joint in joints]),
        "weights": body.lbs_weights.double().numpy(),
        "f": body.faces.numpy().astype(np.uint32),
        "kintree_table": np.array([[ROOT, *body.parents[1:]], range(count)]),
    }


def regressor(vertices: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """Weights of the vertices nearest to a joint that add up to one and yield it."""
    near = np.argsort(np.linalg.norm(vertices - joint, axis=1))[:30]
    row = np.zeros(len(vertices))
    row[near] = np.linalg.pinv(np.vstack([vertices[near].T, np.ones(len(near))])) @ [*joint, 1]
    return row


def write_pickle(path: Path, arrays: dict[str, np.ndarray], protocol: int = 2) -> Path:
    """Writes a model as SMPL's authors did: regressor sparse, the rest as expressions of chumpy."""
    with chumpy() as ch:
        shapedirs = arrays["shapedirs"]
        more = np.concatenate([shapedirs, np.zeros_like(shapedirs)], -1)  # of which the first ones are selected
        chosen = np.arange(more.size).reshape(more.shape)[..., : shapedirs.shape[-1]]
        content = {
            **arrays,
            "v_template": ch.Ch(x=arrays["v_template"]),
            "posedirs": ch.Reshape(
                a=ch.transpose(a=ch.Ch(x=arrays["posedirs"].reshape(-1, arrays["posedirs"].shape[-1]).T), axes=None),
                newshape=arrays["posedirs"].shape,
            ),
            "shapedirs": ch.Select(a=ch.Ch(x=more), idxs=chosen.ravel(), preferred_shape=chosen.shape),
            "J": ch.MatVecMult(mtx=csc_matrix(arrays["J_regressor"]), vec=ch.Ch(x=np.zeros(3))),
            "J_regressor": csc_matrix(arrays["J_regressor"]),
            "bs_type": "lrotmin",
        }
        data = pickle.dumps(content, protocol)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.replace(b"scipy.sparse._csc", b"scipy.sparse.csc"))  # where SciPy kept it in those years
    return path


def write_obj(path: Path, body: BodyTemplate) -> Path:
    """Writes a mesh with texture coordinates, each vertex with its own, in reverse order, after one that none uses."""
    assert body.uv is not None
    count = len(body.vertices)
    lines = ["mtllib ../../other.mtl", *(f"v {x} {y} {z}" for x, y, z in body.vertices.tolist()), "vt 0.5 0.5"]
    lines += [f"vt {u} {v}" for u, v in body.uv.flip(0).tolist()]
    lines += ["f " + " ".join(f"{i + 1}/{count - i + 1}/1" for i in face) for face in body.faces.tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_tree(root: Path, body: BodyTemplate, arrays: dict[str, np.ndarray]) -> Path:
    """Writes the folder of the recipe, all but the regressor of OpenPose's points, and returns it."""
    write_pickle(root / "SMPL_NEUTRAL.pkl", arrays)
    write_obj(root / "smpl_uv.obj", body)
    np.save(root / "weights.npy", arrays["weights"])
    np.save(root / "faces.npy", arrays["f"])
    np.save(root / "parents.npy", arrays["kintree_table"][0])
    return root


def posed_by_hand(
    arrays: dict[str, np.ndarray], betas: np.ndarray, poses: np.ndarray, bend: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Joints and vertices of a pose, the slow way: each ancestor turns a point about the ancestor's rest position.

    Without `bend`, no pose blend shapes.
    """
    rest = arrays["v_template"] + sum(beta * arrays["shapedirs"][:, :, i] for i, beta in enumerate(betas))
    joints, parents = arrays["J_regressor"] @ rest, arrays["kintree_table"][0]
    turns = [Rotation.from_rotvec(pose) for pose in poses]
    if bend:
        for j in range(1, len(poses)):
            feature = turns[j].as_matrix() - np.eye(3)
            for row in range(3):
                for column in range(3):
                    rest = rest + feature[row, column] * arrays["posedirs"][:, :, 9 * (j - 1) + 3 * row + column]

    def moved(points: np.ndarray, joint: int) -> np.ndarray:
        while joint != ROOT:
            points = turns[joint].apply(points - joints[joint]) + joints[joint]
            joint = int(parents[joint])
        return points

    skinned = sum(arrays["weights"][:, j, None] * moved(rest, j) for j in range(len(joints)))
    return np.stack([moved(joint, j) for j, joint in enumerate(joints)]), np.asarray(skinned)
