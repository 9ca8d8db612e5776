"""A number of steps that fits into a budget of seconds, found while they are taken."""

LOOKS = 20  # at the clock over the whole budget, besides those that close in on its end


class Plan:
    """Foresees at which step the time will be up, and stretches a schedule of `nominal_steps` to end there.

    Looking at the clock means waiting for the device, so it is done seldom: `next_look` says when. Between two looks
    everything is a function of the step alone, so that processes which share the looks stay in step.

    Args:
        seconds: the budget.
        nominal_steps: the length that the schedule was written for.
    """

    def __init__(self, seconds: int | float, nominal_steps: int) -> None:
        self.seconds, self.nominal_steps = seconds, nominal_steps
        self.total = float(nominal_steps)  # steps foreseen
        self.next_look = 2
        self.last = (1, 0.0)  # time counts from the first step, once it is taken

    def look(self, step: int, elapsed: float) -> None:
        """Foresees anew, at `next_look` or later: `step` steps have taken `elapsed` seconds.

        The steps to come are expected to be as fast as those since the last look.
        """
        rate = (step - self.last[0]) / max(elapsed - self.last[1], 1e-6)
        left = max(self.seconds - elapsed, 0.0)
        self.total = step + rate * left
        ahead = min(step, int(rate * min(left / 2, self.seconds / LOOKS)))  # the first steps foretell little
        self.next_look = step + max(1, ahead)
        self.last = step, elapsed

    def over(self, step: int) -> bool:
        """Whether another step would exceed the budget rather than fill it."""
        return step + 0.5 > self.total

    @property
    def stretch(self) -> float:
        """Steps for each of the schedule's."""
        return self.total / self.nominal_steps

    def nominal(self, step: int) -> float:
        """The step of the schedule that corresponds to a step."""
        return self.nominal_steps * min(1.0, step / max(self.total, 1.0))
