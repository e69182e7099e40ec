"""Four residual blocks, as functions of a symbol: those that notebook 000 tries out.

After He et al. 2015, arXiv:1512.03385, Fig. 5 (post-activation), and He et al. 2016, arXiv:1603.05027, Fig. 1
(pre-activation). All keep the shape: the input's channels must be as many as the block puts out.

    ====================  ============================================  =====================
    function              branch                                        after the addition
    ====================  ============================================  =====================
    post_activation_pair  1x1 BN ReLU, kxk BN                           ReLU
    post_activation       1x1 BN ReLU, kxk BN ReLU, 1x1 BN (paper)      ReLU
    pre_activation        BN ReLU kxk, BN ReLU 1x1                      nothing
    squeeze_and_restore   1x1 BN ReLU, kxk BN ReLU, 1x1                 nothing
    ====================  ============================================  =====================

As in the notebook convolutions have a bias, though a batch norm behind one makes its gradient zero, and batch norm's
epsilon is Keras's default, 1e-3; the papers have no bias and 1e-5. The notebook calls the last block "V2", but its
activations follow the convolutions.
"""

from minicnn import layers
from minicnn.layers import Symbol


def post_activation_pair(x: Symbol, filters: tuple[int, int], kernel_size=3, *, stage=1, block="a") -> Symbol:
    """x + 1x1 and kxk.  x: (N, H, W, filters[1])   165,440 parameters with (64, 256)."""
    name = f"{stage}{block}_branch"
    y = conv_bn(x, filters[0], 1, name=f"{name}2a")
    y = layers.Activation("relu")(y)
    y = conv_bn(y, filters[1], kernel_size, name=f"{name}2b")
    y = layers.Add()([y, x])
    return layers.Activation("relu")(y)


def post_activation(x: Symbol, filters: tuple[int, int, int], kernel_size=3, *, stage=1, block="a") -> Symbol:
    """x + 1x1, kxk, 1x1: the bottleneck.  x: (N, H, W, filters[2])   71,552 parameters with (64, 64, 256)."""
    name = f"{stage}{block}_branch"
    y = conv_bn(x, filters[0], 1, name=f"{name}2a")
    y = layers.Activation("relu")(y)
    y = conv_bn(y, filters[1], kernel_size, name=f"{name}2b")
    y = layers.Activation("relu")(y)
    y = conv_bn(y, filters[2], 1, name=f"{name}2c")
    y = layers.Add()([y, x])
    return layers.Activation("relu")(y)


def pre_activation(x: Symbol, filters: tuple[int, int], kernel_size=3, *, stage=1, block="a") -> Symbol:
    """x + kxk and 1x1, activated before each.  x: (N, H, W, filters[1])   165,440 parameters with (64, 256)."""
    name = f"{stage}{block}_branch"
    y = bn_conv(x, filters[0], kernel_size, name=f"{name}2a")
    y = bn_conv(y, filters[1], 1, name=f"{name}2b")
    return layers.Add()([y, x])


def squeeze_and_restore(x: Symbol, filters=96, output=128, kernel_size=3, *, stage=1, block="a") -> Symbol:
    """x + 1x1, kxk, and a 1x1 that nothing follows.  x: (N, H, W, output)   108,608 parameters with 96."""
    name = f"{stage}{block}_branch"
    y = conv_bn(x, filters, 1, name=f"{name}2a")
    y = layers.Activation("relu")(y)
    y = conv_bn(y, filters, kernel_size, name=f"{name}2b")
    y = layers.Activation("relu")(y)
    y = layers.Conv2D(output, 1, name=f"res{name}2c")(y)
    return layers.Add()([y, x])


def conv_bn(x: Symbol, filters: int, size, *, name: str) -> Symbol:
    """A convolution `res...` and its batch norm `bn...`."""
    x = layers.Conv2D(filters, size, padding="same", name=f"res{name}")(x)
    return layers.BatchNormalization(name=f"bn{name}")(x)


def bn_conv(x: Symbol, filters: int, size, *, name: str) -> Symbol:
    """A batch norm `bn...`, a ReLU and a convolution `res...`."""
    x = layers.BatchNormalization(name=f"bn{name}")(x)
    x = layers.Activation("relu")(x)
    return layers.Conv2D(filters, size, padding="same", name=f"res{name}")(x)
