"""How many pictures of a subject may be damaged before a result would mislead."""

from collections.abc import Sequence

from hashhuman.errors import UserError

DAMAGED = 0.1  # the largest share of pictures that may be left out


def refuse_damage(damaged: Sequence[UserError], total: int, what: str) -> None:
    """Raises UserError if more than `DAMAGED` of the pictures are damaged.

    Args:
        damaged: what is wrong with each damaged picture.
        total: number of the pictures, with the damaged ones.
        what: names the pictures, in the plural.
    """
    if len(damaged) > DAMAGED * total:
        raise UserError(
            f"{len(damaged)} of {total} {what} are damaged, and at most {DAMAGED:.0%} may be left out. "
            f"The first: {damaged[0]}"
        )
