"""The optimisation: terms of the objective, the correspondences they need, their gradients, and the minimisation."""
