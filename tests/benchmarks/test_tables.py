"""Rows of figures as JSON and markdown."""

import json

from benchmarks import tables


def test_rows_of_a_scene_are_replaced_and_others_stay(tmp_path):
    def row(name: str, value: float) -> dict:
        return {"scene": name, "psnr": value, "peak_gib": None, "device": "Fake GPU (80 GB)"}

    book = tables.Book("speed", {"curve": "Quality", "render": "Pictures"}, tmp_path)
    book.keep("render", "render s1", [row("s1", 345.678)])
    book.keep("curve", "curve s1 s2", [row("s1", 1.0), row("s2", 2.0)])
    text = book.keep("curve", "curve s1", [row("s1", 3.0)])
    assert text == (tmp_path / "speed_fake_gpu_80_gb.md").read_text()
    assert text.startswith("# Speed on Fake GPU (80 GB)\n")
    assert "| scene | psnr | peak_gib |\n|---|---|---|\n| s2 | 2.00 | - |\n| s1 | 3.00 | - |" in text
    assert "## Quality\n\n`python benchmarks/speed.py curve s1`\n\n" in text
    assert text.index("## Quality") < text.index("## Pictures") and "| s1 | 346 | - |" in text
    stored = json.loads((tmp_path / "speed_fake_gpu_80_gb.json").read_text())
    assert [r["psnr"] for r in stored["parts"]["curve"]["rows"]] == [2.0, 3.0]


def test_commands_contain_no_path_of_this_machine():
    words = ["cpu", "/data/x/s1", "s2", "--results", "/tmp/r", "--before", "../old", "--psnr", "25", "--", "seed=1/2"]
    assert tables.reproducible(words) == "cpu s1 s2 --before old --psnr 25 -- seed=1/2"


def test_cells():
    assert [tables.cell("ssim_box", 0.98765), tables.cell("psnr", 31.234), tables.cell("ms", 1234.5)] == [
        "0.9877", "31.23", "1234",
    ]  # fmt: skip
    assert [tables.cell("x", value) for value in (None, True, False, 7, "o1")] == ["-", "yes", "no", "7", "o1"]


def test_columns_are_all_names_that_occur():
    text = tables.table([{"a": 1}, {"b": 0.5, "a": 2}])
    assert text.splitlines() == ["| a | b |", "|---|---|", "| 1 | - |", "| 2 | 0.50 |"]
    assert tables.markdown(["", "x"], [["y", "z"]]).splitlines() == ["| | x |", "|---|---|", "| y | z |"]
