"""Trains on ground-truth scenes and prints how novel views and poses compare.

    python benchmarks/novel_view.py SCENE [SCENE ...] [--out FILE.json] [-- overrides of train.py]

A scene is a folder in the ZJU-MoCap layout whose scene.json counts the training frames. Figures are those of
`metrics=strict`; time counts from the first optimizer step, and what comes before it stands beside it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COLUMNS = ("psnr_full", "psnr_box", "ssim_box", "mask_iou", "halo")


def train(scene: Path, folder: Path, overrides: list[str]) -> dict:
    """Runs train.py on a scene; its report and its timing."""
    command = [sys.executable, "train.py", "data=zju_mocap", f"data.root={scene}", f"run_dir={folder}", *overrides]
    subprocess.run(command, check=True, cwd=Path(__file__).parent.parent)
    report = json.loads((folder / "evaluation/metrics.json").read_text())
    timing = json.loads((folder / "timing.json").read_text())
    figures = {split: {c: result["mean"][c] for c in COLUMNS} for split, result in report["splits"].items()}
    render_ms = statistics.median(row["render_ms"] for row in report["splits"]["novel_view"]["each"])
    return {"scene": scene.name, "overrides": overrides, **timing, "render_ms": render_ms, **figures}


def table(rows: list[dict]) -> str:
    """A markdown table, a line a scene and split."""
    lines = [
        "| scene | split | " + " | ".join(COLUMNS) + " | train s | setup s | steps | render ms | peak GiB |",
        "|" + "---|" * (len(COLUMNS) + 7),
    ]
    for row in rows:
        for split in ("novel_view", "novel_pose"):
            figures = " | ".join(f"{row[split][c]:.{2 if c.startswith('psnr') else 4}f}" for c in COLUMNS)
            peak = "-" if row["peak_gpu_bytes"] is None else f"{row['peak_gpu_bytes'] / 2**30:.2f}"
            cost = f"{row['train_s']:.1f} | {row['setup_s']:.1f} | {row['steps']} | {row['render_ms']:.0f} | {peak}"
            lines.append(f"| {row['scene']} | {split} | {figures} | {cost} |")
    return "\n".join(lines)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="write the rows here as JSON")
    known, overrides = sys.argv[1:], []
    if "--" in known:
        cut = known.index("--")
        known, overrides = known[:cut], known[cut + 1 :]
    arguments = parser.parse_args(known)
    with tempfile.TemporaryDirectory() as folder:
        rows = [train(scene.resolve(), Path(folder) / scene.name, overrides) for scene in arguments.scenes]
    print(f"\n{rows[0]['device']}\n\n{table(rows)}")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
