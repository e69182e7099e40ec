# %% [markdown]
# # What a skip connection does to a gradient
#
# From `y = F(x) + x` to the path lengths of ResNet-56, in eight steps. Each cell runs by itself in an editor that knows
# percent cells (VS Code, PyCharm, Jupyter with jupytext), and the whole is a program:
#
#     python examples/tutorial/tutorial.py
#
# It takes about a minute on two cores, needs matplotlib (`pip install 'minicnn[study]'`), downloads nothing, and leaves
# its pictures beside this file. `tutorial.md` is the same with all output and pictures, to read here and now.

# %%
import itertools
from pathlib import Path

import numpy as np

import minicnn
from minicnn import Model, Tensor, functions, layers, study, zoo
from minicnn.study import decompose, depth, paths
from minicnn.study.digits import digits, train
from minicnn.study.lengths import along, path_terms
from minicnn.study.output import png

NETWORK, TWIN, EPOCHS = "resnet56", "plain56", 4
LOSS = "sparse_categorical_crossentropy"
minicnn.set_random_seed(0)
rng = np.random.default_rng(0)


def show(picture):
    """Saves a picture of an instrument beside this file."""
    path = Path(__file__).parent / f"{picture.name}.png"
    path.write_bytes(png(picture))
    print(f"picture: {path.name}")


# %% [markdown]
# ## 1. One block, by hand
#
# Let `y = F(x) + x` with `F(x) = relu(x w1) w2`, and let `g` be the gradient of the loss for `y`. The chain rule gives
# the gradient for `x` in two parts, because `x` is read twice: by the first product, and by the sum.
#
#     g_x = J_F^T g + g
#
# The second part is `g` itself: a 1 that no weight makes smaller. At the sum nothing is divided or averaged. Both ways
# carry the same `g`; they are added at the *fork*, where `x` was read twice.

# %%
x = Tensor(rng.normal(size=(4, 8)), requires_grad=True)
w1, w2 = (Tensor(rng.normal(size=(8, 8)) / 3) for _ in range(2))
g = rng.normal(size=(4, 8))

y = functions.relu(x @ w1) @ w2 + x
y.backward(g)

through_branch = ((g @ w2.data.T) * (x.data @ w1.data > 0)) @ w1.data.T
through_skip = g
difference = abs(x.grad - (through_branch + through_skip)).max()
print(f"the engine's gradient and the sum of both parts differ by {difference:.0e}")

# %% [markdown]
# ## 2. Look at edges, not at tensors
#
# Who looks at `x.grad` sees the sum alone. A *probe* is shown what each op returns for each of its inputs, one edge of
# the tape after the other, before anything is added up.


# %%
def probe(edge, gradient):
    """Prints what is returned along an edge that leads to x."""
    if edge.parent is x:
        print(f"{type(edge.op).__name__:>7} returns a gradient of length {np.linalg.norm(gradient):.3f}")


(functions.relu(x @ w1) @ w2 + x).backward(g, probe=probe)
print(f"        they add up to one of {np.linalg.norm(through_branch + through_skip):.3f}")

# %% [markdown]
# ## 3. A chain of blocks is a sum over paths
#
# With n blocks the gradient is multiplied by n factors `(1 + J_i)`. Multiply out, and there are 2^n products: in each
# block a path takes either the skip or the branch. A plain chain has one single path, through all branches. Here are
# five blocks `x + x w_i`, all 32 paths written out, sorted by their length: the number of branches on the path.

# %%
matrices = [rng.normal(size=(6, 6)) / 4 for _ in range(5)]
g = rng.normal(size=(1, 6))
by_length = [np.zeros((1, 6)) for _ in range(6)]
for choice in itertools.product([False, True], repeat=5):
    along_path = g
    for w, through in zip(reversed(matrices), choice, strict=True):
        along_path = along_path @ w.T if through else along_path
    by_length[sum(choice)] += along_path

whole = g
for w in reversed(matrices):
    whole = whole + whole @ w.T
print(f"32 paths, and the gradient of the chain: they differ by {abs(sum(by_length) - whole).max():.0e}")
for k, term in enumerate(by_length):
    print(f"  length {k}: {[1, 5, 10, 10, 5, 1][k]:>2} paths, together {np.linalg.norm(term):.3f}")

# %% [markdown]
# ## 4. A real block, and a proof with scissors
#
# `study.record` runs a model forward and backward once. It finds the blocks on the tape, from fork to merge, and keeps
# what every reader of a fork returns. Is it true? Cut all other ways with `detach`, and compute again.

# %%
minicnn.set_floatx("float64")
inputs = layers.Input((8, 8, 1), name="images")
stem = layers.Conv2D(4, 3, padding="same", name="stem")
branch = layers.Conv2D(4, 3, padding="same", activation="relu", name="branch")
head = layers.Dense(10, activation="softmax", name="head")
features = stem(inputs)
merged = layers.Add(name="sum")([features, branch(features)])
model = Model(inputs, head(layers.GlobalAveragePooling2D()(merged)))

images, labels = digits().x_train[:32].astype("float64"), digits().y_train[:32]
block = study.record(model, images, labels, loss=LOSS).block("sum")
for one in block.contributions:
    print(f"{one.role:>7}: {one.layer} returns {np.linalg.norm(one.gradient):.4f} to {block.fork_name}")

fork = Tensor(stem(images).data, requires_grad=True)
only_branch = branch(fork) + fork.detach()
loss = minicnn.training.losses.get(LOSS)(labels, head(functions.mean(only_branch, axis=(1, 2))))
loss.backward()
difference = abs(fork.grad - block.branch_gradient).max()
print(f"with the skip cut, the branch alone returns the same: they differ by {difference:.0e}")
minicnn.set_floatx("float32")

# %% [markdown]
# ## 5. Why anybody wanted skips
#
# Take 56 layers with and without shortcuts; both have the same number of parameters. Batch norm keeps the signals in
# shape, so nothing vanishes. But in the plain network the gradient grows by a steady factor from layer to layer on its
# way back (Yang et al. 2019): whatever the learning rate is, it is wrong for most layers.

# %%
images, labels = digits().x_train[:128], digits().y_train[:128]
networks = {}
for name in (NETWORK, TWIN):
    minicnn.set_random_seed(0)
    networks[name] = zoo.build(name, input_shape=(8, 8, 1))
by_depth = {name: depth.by_depth(m, images, labels, loss=LOSS, precise=True) for name, m in networks.items()}
for name, found in by_depth.items():
    print(f"{name}: from a layer to the one before it, the gradient grows by {found['per_layer'] - 1:.1%} on average")
show(depth.gradient_picture(by_depth))

# %% [markdown]
# ## 6. Skip and branch in every block
#
# The two parts of step 1, now at each block of the network: how long the branch's is against the skip's, the angle
# between the two, and by how much the block makes the gradient longer. At the start they are orthogonal, so that their
# lengths add up as in Pythagoras' theorem. The further back in the network, the more blocks the skip has gathered.

# %%
network = networks[NETWORK]
names = {"start": "at the start", "trained": f"after {EPOCHS} epochs"}
figures = {"start": decompose.decompose(study.record(network, images, labels, loss=LOSS, precise=True))}
total = decompose.summary(figures["start"])
print(f"the median |cosine| between skip and branch is {total['median_abs_cosine']:.3f}")

# %% [markdown]
# ## 7. All paths of the network
#
# Step 3 for a real network. ResNet-56 has 27 blocks, so there are 2^27 = 134 million paths. Nobody need walk them: a
# sweep that carries one gradient *for each length* finds the sums over all paths of a length, exactly, ReLU and batch
# norm included. They add up to the gradient of the input. And a single path can be walked, too.

# %%
few = images[:32], labels[:32]
record = study.record(network, *few, loss=LOSS, precise=True)
terms = path_terms(record)[0]
gradient = record.input_gradients[0]
error = np.linalg.norm(sum(terms) - gradient) / np.linalg.norm(gradient)
print(f"{len(terms)} lengths; their sum and the gradient of the input differ by {error:.0e}")
blocks = record.need(residual=True)
for through in ([], range(3), range(len(blocks) // 2), range(len(blocks))):
    (one,) = along(record, blocks, set(through))
    print(f"one path through {len(through):>2} branches: {np.linalg.norm(one):.1e}")
lengths = {"start": paths.path_lengths(record, samples=0)}

# %% [markdown]
# ## 8. And after training?
#
# A few epochs on the digits, and the same once more.

# %%
train(network, epochs=EPOCHS, seed=0)
figures["trained"] = decompose.decompose(study.record(network, images, labels, loss=LOSS, precise=True))
lengths["trained"] = paths.path_lengths(study.record(network, *few, loss=LOSS, precise=True), samples=0)
show(decompose.residual_picture(figures, names))
show(paths.share_picture(lengths, names))
print(paths.verdict(lengths, names))

# %% [markdown]
# Most paths go through about half of the blocks. The gradient does not come along those. At the start it comes along
# shorter ones, and after training along very short ones: the network is 56 layers deep, but the paths that the gradient
# takes are not (Veit, Wilber, Belongie 2016).
#
# ## To go on
#
# - Scale all branches by 0.1, as Inception-ResNet does (`layers.ScaledAdd`). How must the lengths change?
# - Take a pre-activated network (`preact110`). No ReLU stands on its skips: what happens to the gain?
# - Put a batch norm on a skip. Where in step 6 do you see it?
# - `minicnn study` lists the other instruments: lesions, loss landscapes, shattered gradients, receptive fields.
