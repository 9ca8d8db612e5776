"""Predicts during training how many steps fit into a time budget, and stretches the schedule to that number."""

UPDATES = 20  # the time budget over the longest interval between two updates


class Plan:
    """Predicts the step at which the time will be up, and stretches a schedule of `nominal_steps` to end there.

    An update needs the elapsed time, for which the host waits for the device. So updates are rare; `next_update` says
    at which step the next one is due. Between two updates the plan depends on the step only, so processes that receive
    the same updates have the same plan.

    Args:
        seconds: the time budget.
        nominal_steps: length of the schedule before stretching (steps).
    """

    def __init__(self, seconds: int | float, nominal_steps: int) -> None:
        self.seconds, self.nominal_steps = seconds, nominal_steps
        self.total = float(nominal_steps)  # predicted number of steps
        self.next_update = 2  # step
        self.last = (1, 0.0)  # step and seconds of the last update; time counts from the end of the first step

    def update(self, step: int, elapsed: float) -> None:
        """Renews the prediction: `step` steps have taken `elapsed` seconds. To be called from `next_update` on.

        The remaining steps are expected to be as fast as those since the last update.
        """
        rate = (step - self.last[0]) / max(elapsed - self.last[1], 1e-6)
        left = max(self.seconds - elapsed, 0.0)
        self.total = step + rate * left
        ahead = min(step, int(rate * min(left / 2, self.seconds / UPDATES)))  # the first steps predict little
        self.next_update = step + max(1, ahead)
        self.last = step, elapsed

    def over(self, step: int) -> bool:
        """Whether training should end: another step would exceed the time budget by more than half a step."""
        return step + 0.5 > self.total

    def progress(self, step: int) -> float:
        """The share of the time budget that is over after a step, by the last update and the pace expected since."""
        known, before = self.last[1] / self.seconds, self.last[0]
        ahead = (step - before) / max(self.total - before, 1e-6)
        return min(1.0, known + (1 - known) * ahead)

    @property
    def stretch(self) -> float:
        """Number of steps taken per step of the schedule."""
        return self.total / self.nominal_steps

    def nominal(self, step: int) -> float:
        """The schedule's step that corresponds to a step of training."""
        return self.nominal_steps * min(1.0, step / max(self.total, 1.0))
