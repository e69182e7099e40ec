"""A residual block differentiated by hand and by the engine: what does the skip do to the gradient?

y = relu(x @ w1) @ w2 + x. Run it: python examples/residual_block.py
"""

import numpy as np

from minicnn import Tensor, functions


def main() -> None:
    """Prints both gradients of x, and what each of its two consumers returned."""
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(4, 8)), requires_grad=True)
    w1, w2 = (Tensor(rng.normal(size=(8, 8)) / 4) for _ in range(2))
    dy = rng.normal(size=(4, 8))  # what arrives from above

    # By hand, back to front.
    mask = x.data @ w1.data > 0
    through_branch = (dy @ w2.data.T * mask) @ w1.data.T
    through_skip = dy  # the 1 of d(F(x) + x)/dx: it arrives whole, whatever the branch does
    by_hand = through_branch + through_skip

    # By the engine. A probe sees what each consumer of x returns, before the two are added up.
    seen = {}

    def probe(edge, gradient):
        if edge.parent is x:
            seen[type(edge.op).__name__] = gradient

    y = functions.relu(x @ w1) @ w2 + x
    y.backward(dy, probe=probe)

    print(f"by hand and by the engine agree to {np.abs(x.grad - by_hand).max():.1e}")
    print(f"the branch (MatMul) returned a gradient of norm {np.linalg.norm(seen['MatMul']):.3f}")
    print(f"the skip (Add) returned a gradient of norm   {np.linalg.norm(seen['Add']):.3f}, the one that arrived")
    cosine = (seen["MatMul"] * seen["Add"]).sum() / np.linalg.norm(seen["MatMul"]) / np.linalg.norm(seen["Add"])
    print(f"cosine between them {cosine:+.3f}; the norm of their sum {np.linalg.norm(x.grad):.3f}")


if __name__ == "__main__":
    main()
