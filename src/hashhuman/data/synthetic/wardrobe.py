"""The mannequin's colours."""

import numpy as np
from jaxtyping import Float


class Wardrobe:
    """Clothes, skin and hair, with random colours: each is a function of the rest position."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.shirt, self.stripe, self.trousers, self.shoe = rng.uniform(0.2, 0.9, (4, 3))
        self.skin = np.array([0.85, 0.65, 0.52]) * rng.uniform(0.6, 1.1)
        self.hair = np.array([0.2, 0.13, 0.08]) * rng.uniform(0.5, 2)

    def colours(self, cloth: str, rest: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """RGB albedo in [0, 1] of a cloth (shirt, trousers, shoe, face or skin) at rest positions (m)."""
        x, y, z = rest.T
        plain = np.ones((len(rest), 1))
        if cloth == "shirt":
            striped = (np.sin(70 * y + 25 * np.abs(x)) > 0)[:, None]
            badge = ((x - 0.06) ** 2 + (y - 0.34) ** 2 < 0.03**2) & (z > 0)
            cloth_colour = np.where(striped, self.shirt, self.stripe)
            colour = np.where(badge[:, None], 1 - self.shirt, cloth_colour)
        elif cloth == "trousers":
            colour = self.trousers * (0.8 + 0.2 * np.sign(np.sin(60 * x) * np.sin(60 * y)))[:, None]
        elif cloth == "shoe":
            colour = np.where((y < -0.925)[:, None], 0.95, self.shoe)
        elif cloth == "face":
            hairy = (y > 0.76) | (z < -0.02)
            eyes = (np.abs(np.abs(x) - 0.035) < 0.013) & (np.abs(y - 0.705) < 0.012) & (z > 0)
            mouth = (np.abs(x) < 0.03) & (np.abs(y - 0.635) < 0.008) & (z > 0)
            colour = np.where(hairy[:, None], self.hair, self.skin)
            colour = np.where(eyes[:, None], 0.05, np.where(mouth[:, None], [0.6, 0.15, 0.15], colour))
        else:
            colour = self.skin
        return np.clip(colour * plain, 0, 1)
