import os
import pickle

import pytest
import torch

from hashhuman.errors import UserError
from preprocess.masks.schp.checkpoint import load_network
from preprocess.masks.schp.labels import LABEL_SETS
from tests.preprocess.masks.schp.layout import upstream

LIP, ATR = LABEL_SETS["lip"], LABEL_SETS["atr"]


def constant_weights(classes: int) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, a single number each, so that the file is small."""
    return {name: torch.tensor(0.25).expand(shape) for name, shape in upstream(classes).items()}


def test_loads_new_and_old_files_with_and_without_wrappers(tmp_path):
    weights = constant_weights(len(ATR))
    wrapped = {f"module.{name}": value for name, value in weights.items()}
    wrapped["module.bn1.num_batches_tracked"] = torch.tensor(7)
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "wrapped.pth")
    halves = {name: value.half() for name, value in weights.items()}
    torch.save(halves, tmp_path / "plain.pth", _use_new_zipfile_serialization=False)
    for name in ("wrapped", "plain"):
        network = load_network(tmp_path / f"{name}.pth", ATR)
        state = network.state_dict()
        assert state.keys() == weights.keys()
        assert all(torch.equal(state[key], weights[key]) and state[key].dtype == torch.float32 for key in weights)
        assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_asks_for_a_missing_file(tmp_path):
    path = tmp_path / "models/schp" / LIP.checkpoint
    with pytest.raises(UserError) as error:
        load_network(path, LIP)
    assert str(path) in str(error.value) and "https://drive.google.com/drive/folders/1uOaQ" in str(error.value)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_never_runs_what_a_file_brings(tmp_path):
    torch.save({"state_dict": Bomb(tmp_path / "owned")}, tmp_path / "bomb.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "owned"), protocol=2))
    for name in ("bomb", "bare"):
        with pytest.raises(UserError, match=rf"{name}\.pth is not a readable checkpoint"):
            load_network(tmp_path / f"{name}.pth", LIP)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"<html>Too many requests</html>", b"PK\x03\x04", [1, 2], {"state_dict": 3}])
def test_says_that_a_file_is_damaged(tmp_path, content):
    path = tmp_path / "bad.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"bad\.pth is not a readable checkpoint file"):
        load_network(path, LIP)


def test_says_that_a_file_is_truncated(tmp_path):
    torch.save(constant_weights(len(LIP)), tmp_path / "whole.pth")
    data = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "part.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"part\.pth is not a readable checkpoint"):
        load_network(tmp_path / "part.pth", LIP)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fushion.3.weight": torch.zeros(18, 256, 1, 1)}, r"fushion\.3\.weight is \(18, 256, 1, 1\), not \(20, 256"),
        ({"layer3.22.bn3.bias": None}, r"layer3\.22\.bn3\.bias is missing, not \(1024,\)"),
        ({"layer3.23.bn3.bias": torch.zeros(1024)}, r"layer3\.23\.bn3\.bias is \(1024,\), not absent"),
        ({"bn1.weight": "text"}, r"bn1\.weight is missing, not \(64,\)"),
        ({"bn1.weight": torch.full((64,), torch.nan)}, r"numbers that are not finite \(bn1\.weight\)"),
    ],
)
def test_says_what_does_not_fit(tmp_path, change, message):
    weights = {name: value for name, value in (constant_weights(len(LIP)) | change).items() if value is not None}
    torch.save({"state_dict": weights}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=message):
        load_network(tmp_path / "other.pth", LIP)
