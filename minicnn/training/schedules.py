"""Learning rates that change: functions of the number of steps done, given to an optimizer as learning_rate."""

import math


class Cosine:
    """From `rate` at the first step down to `low` after `steps`: low + (rate - low) (1 + cos(pi t / steps)) / 2.

    Loshchilov and Hutter 2017, arXiv:1608.03983, Eq. 5, without restarts.
    """

    def __init__(self, rate: float, steps: int, low: float = 0.0):
        self.rate, self.steps, self.low = rate, max(steps, 1), low

    def __call__(self, step: int) -> float:
        share = min(step / self.steps, 1.0)  # of the way that is done
        return self.low + (self.rate - self.low) * (1 + math.cos(math.pi * share)) / 2
