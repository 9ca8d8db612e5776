"""Paths that lead out of their folder are refused."""

from pathlib import Path

import pytest

from hashhuman.errors import LONGEST, UserError, one_sentence
from hashhuman.io.inside import check_folder_name, check_inside, relative_name


def test_links_within_a_folder_are_followed_and_links_out_of_it_are_not(tmp_path: Path):
    root = tmp_path / "root"
    (root / "kept").mkdir(parents=True)
    (root / "inner").symlink_to("kept")
    (root / "out").symlink_to("..")
    (tmp_path / "linked").symlink_to(root)
    check_inside(root, [root, root / "inner/x", root / "absent/x"])
    check_inside(tmp_path / "linked", [tmp_path / "linked/inner"])
    for path in (root / "out", root / "out/x", root / "kept/../../x"):
        with pytest.raises(UserError, match="is a link to"):
            check_inside(root, [root / "inner", path])


def test_names_of_files(tmp_path: Path):
    assert str(relative_name("images/00/1.png", tmp_path)) == "images/00/1.png"
    for name in ("", ".", "..", "/x", "a/../x", "../x", "a\\x", "a\0"):
        with pytest.raises(UserError, match="which does not lie inside its folder"):
            relative_name(name, tmp_path)


def test_names_of_folders():
    check_folder_name("subject", "take 2.b")
    for name in ("", ".", "..", "../../x", "/x", "a/b", "a\nb", "a\\b"):
        with pytest.raises(UserError, match="must be the name of a folder"):
            check_folder_name("subject", name)


def test_sentences_are_one_short_printable_line():
    said = str(UserError("file " + "x" * 5000 + "\n\x1b[2J: delete it."))
    assert len(said) == LONGEST and said.isprintable() and said.startswith("file x") and said.endswith("delete it.")
    assert one_sentence("short") == "short"
