"""Measures how many times as long mattes make the outlines of masks: noise along an outline makes it long.

    python benchmarks/outlines.py SUBJECT [SUBJECT ...] [--out FILE]

A subject is a folder that `python -m preprocess` made of the video of a fixed camera with
`preprocess.masks.matting=false`. Where the median is above 1.1, preprocessing keeps the masks.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.tables import finish, markdown
from hashhuman.data.spacing import evenly_spaced
from hashhuman.data.subject import Subject
from preprocess.masks.matting import lengthening
from preprocess.masks.plate import measure_plate

PICTURES = 40  # for the plate, and so many are compared


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for folder in options.subjects:
        subject = Subject(folder)
        pictures = evenly_spaced(subject.pictures, PICTURES)
        plate = measure_plate(subject, pictures)
        ratios = [lengthening(subject.image(picture), subject.mask(picture), plate) for picture in pictures]
        rows.append([folder.name, str(len(ratios)), *(f"{x:.3f}" for x in np.percentile(ratios, [5, 50, 95]))])
    command = f"python benchmarks/outlines.py {' '.join(folder.name for folder in options.subjects)}"
    table = markdown(["subject", "pictures", "5 %", "median", "95 %"], rows)
    finish(f"# How many times as long mattes make outlines\n\n`{command}`\n\n{table}\n", options.out, False)


if __name__ == "__main__":
    main()
