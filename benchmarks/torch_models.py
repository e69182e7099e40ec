"""The networks of the comparison in plain PyTorch, with the mathematics of ours, and the way of our weights into them.

Modules are made in the order in which our builders make theirs, so that the layers of one kind pair up one by one. All
give logits (N, classes).
"""

import re

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.torch_inception import InceptionV3

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def build(name: str, channels: int, classes: int) -> nn.Module:
    """The network of this name, for images of so many channels. Raises ValueError for one that is not here."""
    builders = {"vgg16": VGG16, "inception_v3": InceptionV3, "resnet20": ResNet20, "lenet5": LeNet5}
    if name in DEPTHS:
        return ResNet(DEPTHS[name], Basic if name == "resnet18" else Bottleneck, channels, classes)
    if name not in builders:
        raise ValueError(f"no {name} in benchmarks/torch_models.py: there are {', '.join([*DEPTHS, *builders])}")
    return builders[name](channels, classes)


# LeNet and VGG --------------------------------------------------------------------------------------------------------


class LeNet5(nn.Sequential):
    """The notebook's: `same` 5x5, max pools, a wide dense layer; 32 x 32 images."""

    def __init__(self, channels: int, classes: int):
        super().__init__(
            *(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(FlattenLast(), nn.Linear(1024, 500), nn.ReLU(inplace=True), nn.Linear(500, classes)),
        )


class VGG16(nn.Sequential):
    """Simonyan & Zisserman 2014, Table 1, column D; 224 x 224 images."""

    def __init__(self, channels: int, classes: int):
        steps: list[nn.Module] = []
        for filters, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(depth):
                steps += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
                channels = filters
            steps.append(nn.MaxPool2d(2))
        steps += [FlattenLast(), nn.Linear(25088, 4096), nn.ReLU(inplace=True)]
        steps += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, classes)]
        super().__init__(*steps)


class FlattenLast(nn.Module):
    """(N, C, H, W) -> (N, H*W*C): the order in which channels_last keeps the numbers, so that nothing is copied."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


# ResNets --------------------------------------------------------------------------------------------------------------


def norm(channels: int, epsilon: float = 1e-5) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=epsilon, momentum=0.1)


class Basic(nn.Module):
    """Two 3x3 without biases: torchvision's."""

    widening = 1

    def __init__(self, channels: int, filters: int, stride: int):
        super().__init__()
        changes = stride > 1 or channels != filters
        self.shortcut = conv_norm(channels, filters, 1, stride) if changes else nn.Identity()
        self.branch = nn.Sequential(
            *conv_norm(channels, filters, 3, stride), nn.ReLU(inplace=True), *conv_norm(filters, filters, 3, 1)
        )

    def forward(self, x):
        return functional.relu(self.branch(x) + self.shortcut(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with biases, the stride on the first 1x1: Keras's."""

    widening = 4

    def __init__(self, channels: int, filters: int, stride: int):
        super().__init__()
        options = {"bias": True, "epsilon": 1.001e-5}
        changes = stride > 1 or channels != 4 * filters
        self.shortcut = conv_norm(channels, 4 * filters, 1, stride, **options) if changes else nn.Identity()
        self.branch = nn.Sequential(
            *conv_norm(channels, filters, 1, stride, **options), nn.ReLU(inplace=True),
            *conv_norm(filters, filters, 3, 1, **options), nn.ReLU(inplace=True),
            *conv_norm(filters, 4 * filters, 1, 1, **options),
        )  # fmt: skip

    def forward(self, x):
        return functional.relu(self.branch(x) + self.shortcut(x), inplace=True)


def conv_norm(channels: int, filters: int, size: int, stride: int, bias: bool = False, epsilon: float = 1e-5):
    convolution = nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=bias)
    return nn.Sequential(convolution, norm(filters, epsilon))


class ResNet(nn.Sequential):
    """He et al. 2015, Table 1."""

    def __init__(self, depths: tuple[int, ...], block: type, channels: int, classes: int):
        options = {"bias": True, "epsilon": 1.001e-5} if block is Bottleneck else {}
        steps = [*conv_norm(channels, 64, 7, 2, **options), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]
        channels = 64
        for stage, depth in enumerate(depths):
            for i in range(depth):
                steps.append(block(channels, 64 << stage, 2 if stage and not i else 1))
                channels = (64 << stage) * block.widening
        super().__init__(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class ResNet20(nn.Sequential):
    """He et al. 2015, section 4.2, n = 3, shortcut A."""

    def __init__(self, channels: int, classes: int):
        steps = [*conv_norm(channels, 16, 3, 1), nn.ReLU(inplace=True)]
        channels = 16
        for filters in (16, 32, 64):
            for i in range(3):
                steps.append(PadBlock(channels, filters, 2 if filters > 16 and not i else 1))
                channels = filters
        super().__init__(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


class PadBlock(nn.Module):
    """Two 3x3; a shortcut without weights: every second pixel, zeros for the new channels."""

    def __init__(self, channels: int, filters: int, stride: int):
        super().__init__()
        self.stride, self.missing = stride, filters - channels
        self.branch = nn.Sequential(
            *conv_norm(channels, filters, 3, stride), nn.ReLU(inplace=True), *conv_norm(filters, filters, 3, 1)
        )

    def forward(self, x):
        y = self.branch(x)
        if self.stride > 1:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))
        return functional.relu(y + x, inplace=True)


# Weights --------------------------------------------------------------------------------------------------------------


def load(model: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Copies our weights, "layer/weight" -> array, into the model, layer by layer of each kind.

    Raises ValueError where the number of layers or a shape differs.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in weights.items():
        layer, _, part = name.rpartition("/")
        layers.setdefault(layer, {})[part] = array
    ordered = [layers[name] for name in sorted(layers, key=natural)]
    with torch.no_grad():
        for kind, belongs in (
            (nn.Conv2d, lambda parts: parts.get("kernel", np.empty(0)).ndim == 4),
            (nn.BatchNorm2d, lambda parts: "moving_mean" in parts),
            (nn.Linear, lambda parts: parts.get("kernel", np.empty(0)).ndim == 2),
        ):
            ours = [parts for parts in ordered if belongs(parts)]
            theirs = [module for module in model.modules() if isinstance(module, kind)]
            if len(ours) != len(theirs):
                raise ValueError(f"{len(ours)} layers of ours for {len(theirs)} {kind.__name__}")
            for parts, module in zip(ours, theirs, strict=True):
                copy(parts, module)


def natural(name: str) -> list:
    """Sorts conv2d_9 before conv2d_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def copy(parts: dict[str, np.ndarray], module: nn.Module) -> None:
    """Kernels (KH, KW, C, F) become (F, C, KH, KW), matrices are turned; a batch norm without gamma keeps its ones."""
    targets = {
        "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
        "moving_mean": "running_mean", "moving_variance": "running_var",
    }  # fmt: skip
    for part, array in parts.items():
        turned = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        target = getattr(module, targets[part])
        if tuple(target.shape) != turned.shape:
            raise ValueError(f"{part} of shape {turned.shape} for {targets[part]} of shape {tuple(target.shape)}")
        target.copy_(torch.from_numpy(np.ascontiguousarray(turned)))
