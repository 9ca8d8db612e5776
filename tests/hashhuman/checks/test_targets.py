"""What a run's config may name, and what it may not."""

import copy
from pathlib import Path

import pytest

from hashhuman.checks import targets
from hashhuman.errors import UserError

GOOD = {
    "loss": {"color": {"_target_": "hashhuman.training.losses.ColorLoss", "weight": 1.0}},
    "avatar": {"_target_": "hashhuman.avatar.build.hash_grid_avatar", "field": "${field}"},
    "callbacks": {"checkpoint": {"_target_": "hashhuman.training.callbacks.Checkpoints"}},
    "source": {"_target_": "preprocess.pipeline.Preprocessing", "stages": [{"a": 1}]},
    "logger": None,
}


def refused(config, register: targets.Register | None = None) -> str:
    with pytest.raises(UserError) as caught:
        targets.check_targets(config, Path("run/config.json"), register or targets.admitted())
    return str(caught.value)


def changed(place: str, value) -> dict:
    config = copy.deepcopy(GOOD)
    inner = config
    *folders, last = place.split(".")
    for key in folders:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return config


def test_the_projects_own_names_are_admitted():
    targets.check_targets(GOOD, Path("x"), targets.admitted())


@pytest.mark.parametrize(
    "name",
    [
        "os.system", "builtins.eval", "hashhuman.training.losses.os.system", "hashhuman.training.losses.ColorLoss.x",
        "hashhuman.training.losses", "hashhuman.io.files.save_json", "hydra.utils.get_method", " torch.optim.Adam",
        "Torch.optim.Adam", "", "preprocess.pipeline.Preprocessing", "lightning.Trainer", 3, None, ["os.system"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["loss.x._target_", "avatar.deep.er._target_", "new._target_", "_target_"])
def test_any_other_name_is_refused(place: str, name):
    said = refused(changed(place, name))
    assert said.startswith("run/config.json names ") and f"({place})" in said and "admit=[NAME]" in said


def test_names_in_lists_and_below_unused_options_are_checked_too():
    assert "loss.x.1._args_.0._target_" in refused(changed("loss.x", [{}, {"_args_": [{"_target_": "os.getcwd"}]}]))
    assert "callbacks.x._target_" in refused(changed("callbacks.x", {"_target_": "os.getcwd"}))
    assert "names preprocess" in refused(changed("loss", {"_target_": "preprocess.pipeline.Preprocessing"}))


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:HOME}", "a ${oc.env:HOME} b", "${oc.decode:1}", "${now:%Y}", "${hydra:runtime.cwd}", "${${field}}",
        "${a.${b}}", "${source}", "${preprocess.frames}", "${.field}", "${..source}", "\\${oc.env:HOME}", "${",
        "${a[0]}",
    ],
)  # fmt: skip
def test_values_that_call_functions_are_refused(value: str):
    assert "would call a function" in refused(changed("loss.x", value))
    assert "would call a function" in refused(changed("loss.x", [[value]]))
    assert "would call a function" in refused(changed("loss.x", {value: 1}))


def test_references_to_options_are_no_calls():
    targets.check_targets(changed("loss.x", ["${field}", "${field.parts.head}"]), Path("x"), targets.admitted())


def test_further_classes_are_registered_by_name_or_by_their_configs(tmp_path: Path):
    config = changed("loss.x", {"_target_": "my_lab.normals.NormalLoss"})
    refused(config)
    targets.check_targets(config, Path("x"), targets.admitted(["my_lab.normals.NormalLoss"]))
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss/normals.yaml").write_text("n: { _target_: my_lab.normals.NormalLoss, weight: 1 }\n")
    (tmp_path / "callbacks").mkdir()
    (tmp_path / "callbacks/mine.yaml").write_text("m:\n  - _target_: my_lab.Callback\n")
    register = targets.admitted() | targets.Register.of([tmp_path])
    targets.check_targets(config, Path("x"), register)
    targets.check_targets(changed("callbacks.x", {"_target_": "my_lab.Callback"}), Path("x"), register)
    refused(changed("loss.x", {"_target_": "my_lab.Callback"}), register)
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"broken\.yaml is not readable YAML"):
        targets.Register.of([tmp_path])
