"""An op of your own, forward and backward side by side, and a check of its gradient: python examples/own_op.py"""

import numpy as np

from minicnn import Op, Tensor, apply
from minicnn.gradcheck import GradientError, check_grad


class Swish(Op):
    """y = x * s with s = sigmoid(x).  dx = dy * (s + y * (1 - s))   (Ramachandran et al. 2017, arXiv:1710.05941)"""

    def forward(self, x):
        self.s = 1 / (1 + self.xp.exp(-x))
        self.y = x * self.s
        return self.y

    def backward(self, dy):
        return (dy * (self.s + self.y * (1 - self.s)),)


class WrongSwish(Swish):
    """The same with a backward pass that forgets that s depends on x."""

    def backward(self, dy):
        return (dy * self.s,)


def main() -> None:
    """Checks both, and differentiates the right one."""
    x = np.random.default_rng(0).normal(size=(3, 5))
    check_grad(Swish(), x)
    print("Swish: the gradient agrees with finite differences")
    try:
        check_grad(WrongSwish(), x)
    except GradientError as error:
        print(f"WrongSwish: {error}")

    tensor = Tensor(x, requires_grad=True)
    apply(Swish(), tensor).sum().backward()
    print("d sum(swish(x)) / dx =", np.round(tensor.grad[0], 3), "...")


if __name__ == "__main__":
    main()
