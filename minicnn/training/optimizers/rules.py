"""The rules: what an optimizer does with one weight and its gradient."""

from collections.abc import Callable
from typing import Any

from minicnn.backend import backend_of
from minicnn.training.optimizers.arguments import number
from minicnn.training.optimizers.base import Optimizer, number_by_number

Rate = float | Callable[[int], float]


class SGD(Optimizer):
    """Gradient descent: w -= rate * g. With momentum: v = momentum * v - rate * g, then w += v.

    nesterov: w += momentum * v - rate * g instead, with the new v (Sutskever et al. 2013, ICML, eq. 3 and 4, rewritten
    for the point that looks ahead). options: those of every Optimizer.
    """

    def __init__(
        self, learning_rate: Rate = 0.01, momentum: float = 0.0, nesterov: bool = False, **options: Any
    ):
        super().__init__(learning_rate, **options)
        self.momentum = number("momentum", momentum, low=0, high=1)
        self.nesterov = bool(nesterov)
        self.slots = ("momentum",) if self.momentum else ()

    @number_by_number
    def update(self, w, g, rate, slots):
        """The formula, in place."""
        backend_of(w).sgd(w, g, slots.get("momentum"), rate, self.momentum, self.nesterov)

    def get_config(self):
        """The arguments that make this optimizer again, without its state."""
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class RMSprop(Optimizer):
    """Tieleman and Hinton 2012, Coursera lecture 6.5: each step is divided by a running root mean square of gradients.

    v = rho * v + (1 - rho) * g^2; step = rate * g / sqrt(v + epsilon); with momentum: m = momentum * m + step, w -= m;
    without: w -= step. centered: the variance, v less the square of a running mean of g, in place of v (Graves 2013,
    arXiv:1308.0850, eq. 38 to 45). Epsilon stands below the root, as in Keras; PyTorch adds it to the root. Inception
    v3 used rho = 0.9, momentum = 0.9, epsilon = 1 (arXiv:1512.00567, section 8). options: those of every Optimizer.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Any,
    ):
        super().__init__(learning_rate, **options)
        self.rho = number("rho", rho, low=0, below=1)
        self.momentum = number("momentum", momentum, low=0, high=1)
        self.epsilon = number("epsilon", epsilon, low=0)
        self.centered = bool(centered)
        more = (("momentum", self.momentum), ("average_gradient", self.centered))
        self.slots = ("velocity", *(name for name, wanted in more if wanted))

    @number_by_number
    def update(self, w, g, rate, slots):
        """The formula, in place."""
        v, m, mean = (slots.get(name) for name in ("velocity", "momentum", "average_gradient"))
        backend_of(w).rmsprop(w, g, v, m, mean, rate, self.rho, self.momentum, self.epsilon)

    def get_config(self):
        """The arguments that make this optimizer again, without its state."""
        own = {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon, "centered": self.centered}
        return {**super().get_config(), **own}


class Adam(Optimizer):
    """Kingma and Ba, arXiv:1412.6980, in the form before section 2.1, with its "epsilon hat".

    m += (g - m) * (1 - beta_1); v += (g^2 - v) * (1 - beta_2);
    w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon), with t = 1 at the first step.
    Epsilon stands beside the uncorrected sqrt(v): PyTorch and the paper's Algorithm 1 put it elsewhere.
    amsgrad: the largest v so far in place of v (Reddi et al. 2018, arXiv:1904.09237).
    options: those of every Optimizer.
    """

    paired = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ):
        super().__init__(learning_rate, **options)
        self.beta_1 = number("beta_1", beta_1, low=0, below=1)
        self.beta_2 = number("beta_2", beta_2, low=0, below=1)
        self.epsilon = number("epsilon", epsilon, low=0)
        self.amsgrad = bool(amsgrad)
        self.slots = ("momentum", "velocity", *(["velocity_hat"] if self.amsgrad else []))

    @number_by_number
    def update(self, w, g, rate, slots):
        """The formula, in place."""
        m, v, t = slots["momentum"], slots["velocity"], self.iterations + 1
        alpha = rate * (1 - self.beta_2**t) ** 0.5 / (1 - self.beta_1**t)
        constants = (alpha, self.beta_1, self.beta_2, self.epsilon)
        if self.amsgrad:
            backend_of(w).amsgrad(w, g, m, v, slots["velocity_hat"], *constants)
        else:
            backend_of(w).adam(w, g, m, v, *constants)

    def get_config(self):
        """The arguments that make this optimizer again, without its state."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon, "amsgrad": self.amsgrad}
        return {**super().get_config(), **own}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101): Adam(weight_decay=0.004)."""

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ):
        if weight_decay is None:
            raise ValueError("AdamW: weight_decay must be a number, got None; Adam is the rule without it")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options)
