"""SMPL's file under the names that it has in the archives of its sites, and in the folders of other tools."""

from pathlib import Path

import pytest

from hashhuman.body.smpl.body import SmplBody
from hashhuman.body.smpl.names import find, sex_of
from hashhuman.errors import UserError


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("SMPL_NEUTRAL.pkl", "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"),
        ("SMPL_NEUTRAL.pkl", "smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl"),
        ("SMPL_FEMALE.pkl", "basicModel_f_lbs_10_207_0_v1.0.0.pkl"),
        ("SMPL_MALE.pkl", "models/basicmodel_m_lbs_10_207_0_v1.0.0.pkl"),
        ("basicmodel_m_lbs_10_207_0_v1.0.0.pkl", "smpl/SMPL_MALE.pkl"),
        ("SMPL_NEUTRAL.pkl", "SMPL_NEUTRAL.npz"),
    ],
)
def test_the_same_file_under_another_name(tmp_path: Path, asked: str, there: str):
    others = ["SMPLX_NEUTRAL.pkl", "SMPLH_MALE.pkl", "SMPL_NEUTRAL.converted.npz", "notes.txt"]
    others += [n for n in ("SMPL_FEMALE.pkl", "SMPL_MALE.pkl", "SMPL_NEUTRAL.pkl") if sex_of(n) != sex_of(asked)]
    for name in (there, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find(tmp_path, asked) == tmp_path / there
    (tmp_path / asked).touch()
    assert find(tmp_path, asked) == tmp_path / asked


def test_several_files_and_none(tmp_path: Path):
    assert find(tmp_path / "nowhere", "SMPL_MALE.pkl") == tmp_path / "nowhere/SMPL_MALE.pkl"
    assert find(tmp_path, "mine.npz") == tmp_path / "mine.npz"
    for version in ("1.0.0", "1.1.0"):
        (tmp_path / f"basicmodel_m_lbs_10_207_0_v{version}.pkl").touch()
    with pytest.raises(UserError, match=r"body\.model=SMPL_MALE\.pkl may mean .*v1\.0\.0\.pkl or .*v1\.1\.0\.pkl in"):
        find(tmp_path, "SMPL_MALE.pkl")


def test_the_body_is_made_of_it(tree: Path):
    expected = SmplBody(tree, "SMPL_NEUTRAL.pkl")
    renamed = tree / "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
    (tree / "SMPL_NEUTRAL.pkl").rename(renamed)
    SmplBody.require(tree, "SMPL_NEUTRAL.pkl")
    assert SmplBody.files(tree, "SMPL_NEUTRAL.pkl")[0] == renamed
    assert (SmplBody(tree, "SMPL_NEUTRAL.pkl")._vertices == expected._vertices).all()


def test_a_linked_folder_is_no_other_file(tmp_path: Path):
    model = tmp_path / "smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"")
    (tmp_path / "models").symlink_to("smpl/models")
    assert find(tmp_path, "SMPL_NEUTRAL.pkl").samefile(model)
