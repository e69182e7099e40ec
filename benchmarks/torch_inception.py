"""Inception v3 (Szegedy et al. 2015, arXiv:1512.00567) in plain PyTorch, as Keras and our zoo have it; gives logits."""

import torch
from torch import nn
from torch.nn import functional


class ConvNorm(nn.Module):
    """A convolution without bias, batch norm without gamma, ReLU. size: of a square, or (height, width)"""

    def __init__(self, channels: int, filters: int, size: int | tuple[int, int], stride: int = 1, same: bool = True):
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        padding = (height // 2, width // 2) if same else 0
        self.convolution = nn.Conv2d(channels, filters, (height, width), stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)
        self.norm.weight.requires_grad_(False)  # ones for ever: PyTorch has gamma and beta, or neither

    def forward(self, x):
        return functional.relu(self.norm(self.convolution(x)), inplace=True)


def chain(channels: int, *arguments: tuple) -> nn.Sequential:
    """Convolutions one after another, each with the arguments (filters, size, stride, same)."""
    steps = []
    for one in arguments:
        steps.append(ConvNorm(channels, *one))
        channels = one[0]
    return nn.Sequential(*steps)


class Split(nn.Module):
    """All branches on the same input, their outputs side by side in the channels."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def average(channels: int, filters: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), ConvNorm(channels, filters, 1))


def module_35(channels: int, projection: int) -> Split:
    return Split(
        chain(channels, (64, 1)),
        chain(channels, (48, 1), (64, 5)),
        chain(channels, (64, 1), (96, 3), (96, 3)),
        average(channels, projection),
    )


def module_17(width: int) -> Split:
    row, column = (1, 7), (7, 1)
    return Split(
        chain(768, (192, 1)),
        chain(768, (width, 1), (width, row), (192, column)),
        chain(768, (width, 1), (width, column), (width, row), (width, column), (192, row)),
        average(768, 192),
    )


def module_8(channels: int) -> Split:
    return Split(
        chain(channels, (320, 1)),
        nn.Sequential(ConvNorm(channels, 384, 1), Split(chain(384, (384, (1, 3))), chain(384, (384, (3, 1))))),
        nn.Sequential(
            ConvNorm(channels, 448, 1), ConvNorm(448, 384, 3),
            Split(chain(384, (384, (1, 3))), chain(384, (384, (3, 1)))),
        ),
        average(channels, 192),
    )  # fmt: skip


class InceptionV3(nn.Sequential):
    """23,851,784 parameters with Keras's counting; 299 x 299 images."""

    def __init__(self, channels: int, classes: int):
        super().__init__(
            chain(channels, (32, 3, 2, False), (32, 3, 1, False), (64, 3)),
            nn.MaxPool2d(3, 2),
            chain(64, (80, 1, 1, False), (192, 3, 1, False)),
            nn.MaxPool2d(3, 2),
            *(module_35(192, 32), module_35(256, 64), module_35(288, 64)),
            Split(
                chain(288, (384, 3, 2, False)),
                chain(288, (64, 1), (96, 3), (96, 3, 2, False)),
                nn.MaxPool2d(3, 2),
            ),
            *(module_17(width) for width in (128, 160, 160, 192)),
            Split(
                chain(768, (192, 1), (320, 3, 2, False)),
                chain(768, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, False)),
                nn.MaxPool2d(3, 2),
            ),
            *(module_8(1280), module_8(2048)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, classes)),
        )
