"""Anny with SMPL's joints, against Anny itself and an independent table of bones."""

import sys

import numpy as np
import pytest
import torch

from hashhuman.body.anny import AnnyBody
from hashhuman.errors import UserError
from hashhuman.geometry.skinning import axis_angle_to_matrix, forward_kinematics, skin

anny = pytest.importorskip("anny")
keypoints = pytest.importorskip("anny.keypoints")

# bone prefix -> joint, in the order of trial; sides are added below
MEMBERS = (
    ("toe", "foot"), ("finger", "hand"), ("metacarpal", "wrist"), ("wrist", "wrist"), ("lowerarm", "elbow"),
    ("upperarm", "shoulder"), ("shoulder01", "collar"), ("clavicle", "collar"), ("lowerleg", "knee"),
    ("upperleg", "hip"), ("foot", "ankle"), ("eye", "head"), ("head", "head"), ("neck", "neck"), ("spine01", "spine3"),
    ("spine02", "spine3"), ("spine03", "spine2"), ("spine04", "spine1"), ("spine05", "pelvis"), ("pelvis", "pelvis"),
    ("root", "pelvis"),
)  # fmt: skip
UNSIDED = {"head", "neck", "pelvis", "spine1", "spine2", "spine3"}


def expected_joint(bone: str) -> str:
    joint = next(joint for prefix, joint in MEMBERS if bone.startswith(prefix))
    return joint if joint in UNSIDED else ("left_" if bone.endswith(".L") else "right_") + joint


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody()


@pytest.fixture(scope="module")
def model() -> anny.Anny:
    return anny.Anny(skinning_method="lbs").to(dtype=torch.float32)


@pytest.fixture(scope="module")
def shape(body: AnnyBody) -> torch.Tensor:
    return body.shape_mean + torch.tensor([0.3, -0.05, 0.1, -0.12, 0.08, 0.07])


@pytest.fixture(scope="module")
def rest(model: anny.Anny, shape: torch.Tensor) -> dict[str, torch.Tensor]:
    identity = torch.eye(4).repeat(1, model.bone_count, 1, 1)
    return model(identity, phenotype_kwargs=dict(zip(model.phenotype_labels, shape.tolist())))


def yup(points: torch.Tensor) -> np.ndarray:
    x, y, z = points.numpy().T
    return np.stack([x, z, -y], -1)


def test_rest_vertices_are_annys_turned_upright(body, shape, rest):
    template = body.template(shape)
    assert np.allclose(template.vertices, yup(rest["rest_vertices"][0]), atol=1e-5)
    top, nose = template.vertices[:, 1].max(), body.landmark_basis(("nose",))
    assert 1.4 < top - template.vertices[:, 1].min() < 2.2
    assert torch.einsum("k,kjc->c", body.basis(shape), nose[:, 0, :, :3])[2] > 0.1  # the nose points forwards


def test_joints_sit_at_the_first_bone_of_each_chain(body, model, shape, rest):
    heads = dict(zip(model.bone_labels, yup(rest["rest_bone_heads"][0])))
    joints = dict(zip(body.joint_names, body.template(shape).joints.numpy()))
    firsts = {
        "pelvis": "root", "spine2": "spine03", "head": "head", "left_hip": "upperleg01.L", "right_foot": "toe2-1.R",
        "left_wrist": "wrist.L", "right_hand": "finger3-1.R", "left_collar": "clavicle.L",
    }  # fmt: skip
    for joint, bone in firsts.items():
        assert np.allclose(joints[joint], heads[bone], atol=1e-5), joint
    # Every joint lies at the head of one of its bones, and left joints on the person's left.
    for joint, position in joints.items():
        own = [heads[bone] for bone in model.bone_labels if expected_joint(bone) == joint]
        assert min(np.linalg.norm(position - head) for head in own) < 1e-5, joint
        if joint not in UNSIDED:
            assert (position[0] > 0) == joint.startswith("left")


def test_weights_add_up_over_the_bones_of_a_joint(body, model):
    names = list(body.joint_names)
    expected = np.zeros((len(model.template_vertices), len(names)))
    for bones, weights, row in zip(model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy(), expected):
        for bone, weight in zip(bones, weights):
            row[names.index(expected_joint(model.bone_labels[bone]))] += weight
    assert np.allclose(body.lbs_weights, expected / expected.sum(1, keepdims=True), atol=1e-6)


def test_parents_precede_children_and_chains_end_at_the_pelvis(body):
    assert body.parents[0] == -1
    assert all(p < j for j, p in enumerate(body.parents))
    name = "left_hand"
    chain = [name]
    while chain[-1] != "pelvis":
        chain.append(body.joint_names[body.parents[body.joint_names.index(chain[-1])]])
    limb = ["left_hand", "left_wrist", "left_elbow", "left_shoulder", "left_collar"]
    assert chain == [*limb, "spine3", "spine2", "spine1", "pelvis"]


def test_posed_landmarks_are_regressed_from_the_skinned_surface(body, model, shape):
    template = body.template(shape)
    rotations = axis_angle_to_matrix(0.4 * torch.randn(24, 3, generator=torch.Generator().manual_seed(0)))
    transforms = forward_kinematics(rotations, template.joints, list(template.parents))
    names = ("nose", "left_wrist", "right_heel", "left_big_toe")
    regressor = keypoints.KeypointsRegressor.coco(model, labels=list(names))
    expected = regressor({"vertices": skin(template.vertices, template.lbs_weights, transforms)[None]})[0]
    moments = torch.einsum("k,kljc->ljc", body.basis(shape), body.landmark_basis(names))
    assert torch.allclose(torch.einsum("jab,ljb->la", transforms[:, :3], moments), expected, atol=2e-4)


def test_knuckles_are_heads_of_finger_bones(body, model, shape, rest):
    heads = dict(zip(model.bone_labels, yup(rest["rest_bone_heads"][0])))
    moments = torch.einsum("k,kljc->ljc", body.basis(shape), body.landmark_basis(("right_index_knuckle",)))
    assert np.allclose(moments[0, :, :3].sum(0), heads["finger2-1.R"], atol=1e-5)
    assert moments[0, body.joint_names.index("right_hand"), 3] == 1


def test_shape_is_differentiable(body, shape):
    heights = body.joint_basis()[:, 15, 1].double()

    def height(x: torch.Tensor) -> torch.Tensor:
        return body.basis(x.float()).double() @ heights

    free = shape.clone().requires_grad_()
    height(free).backward()
    for i in range(len(shape)):
        step = torch.zeros_like(shape)
        step[i] = 1e-3
        slope = (height(shape + step) - height(shape - step)) / 2e-3
        assert float(free.grad[i]) == pytest.approx(float(slope), abs=5e-3)
    assert free.grad[list(body.shape_names).index("height")] > 0.1


def test_priors_can_be_set_and_unknown_ones_are_refused():
    assert AnnyBody(prior={"age": (0.3, 0.1)}).shape_mean[1] == pytest.approx(0.3)
    with pytest.raises(UserError, match="beard"):
        AnnyBody(prior={"beard": (0.3, 0.1)})


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(UserError, match=r"pip install 'anny==0\.6\.2'"):
        AnnyBody()
