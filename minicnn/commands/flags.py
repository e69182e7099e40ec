"""The flags of `minicnn train`, group by group."""

import argparse

from minicnn import data
from minicnn.commands.kinds import at_least, device, every, milestones, number, plain_name
from minicnn.commands.preprocessing import MODES
from minicnn.config import ALGORITHMS, PRECISIONS

OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
SCHEDULES = ("none", "step", "multistep", "exponential", "polynomial", "cosine", "plateau")
YES_NO = argparse.BooleanOptionalAction


def of_data(group) -> None:
    """The network and the data."""
    add = group.add_argument
    add("--variant", metavar="NAME", help="form of the network, e.g. 1998 for lenet5")
    add("--dataset", metavar="NAME", help=f"one of: {', '.join(data.names())} (default: digits)")
    add("--data-dir", metavar="DIR", help="where the data set lies, or the folder of images itself")
    add("--img-size", metavar="N", type=at_least(1), help="height and width (default: the recipe's or the model's)")
    add("--preprocessing", metavar="NAME", choices=MODES,
        help=f"one of: {', '.join(MODES)} (default: the recipe's): 0..1; minus mean by deviation of each channel; "
        "minus each pixel's mean; as published weights want it")  # fmt: skip
    add("--augment", metavar="LIST", help="of training images, e.g. crop:4,flip; none; see below")
    add("--val-split", metavar="X", type=number(0, below=1),
        help="share of the training part held out (default: 0); without one the best checkpoint and --patience follow "
        "the training loss")  # fmt: skip
    add("-j", "--workers", metavar="N", type=at_least(0), help="threads that make batches (default: 0, none)")
    add("--skip-broken", action=YES_NO, help="leave out images that cannot be read, and say so")
    add("-c", "--config", metavar="TOML", help="settings from a file; flags override them")


def of_optimizer(group) -> None:
    """How weights are moved."""
    add = group.add_argument
    add("--opt", choices=OPTIMIZERS, metavar="NAME", help=f"one of: {', '.join(OPTIMIZERS)}")
    add("--lr", metavar="X", type=number(0), help="learning rate")
    add("--momentum", metavar="X", type=number(0, below=1), help="of sgd, nesterov and rmsprop")
    add("--weight-decay", metavar="X", type=number(0), help="decoupled, as in AdamW")
    add("--decay-bias-bn", action=YES_NO, help="whether biases and batch norms decay too (default: they do)")
    add("--clip-grad", metavar="X", type=number(0), help="longest gradient, of all weights together")
    add("--grad-accum-steps", metavar="N", type=at_least(1), help="batches whose gradients make one update")
    add("--ema", metavar="X", type=number(0, below=1), help="average the weights, keeping X at each step, e.g. 0.999")


def of_schedule(group) -> None:
    """The learning rate over time."""
    add = group.add_argument
    add("--sched", metavar="NAME", choices=SCHEDULES, help=f"one of: {', '.join(SCHEDULES)}")
    add("--warmup-epochs", metavar="N", type=number(0), help="the rate rises from 0 over so many epochs")
    add("--min-lr", metavar="X", type=number(0), help="where cosine, polynomial and plateau end (default: 0)")
    add("--decay-epochs", metavar="N", type=number(0), help="of step and exponential: once in so many epochs")
    add("--decay-milestones", metavar="N,N", type=milestones, help="of multistep: after these epochs")
    add("--decay-rate", metavar="X", type=number(0, below=1), help="what the rate is multiplied by (default: 0.1)")
    add("--power", metavar="X", type=number(0), help="of polynomial (default: 1)")
    add("--sched-patience", metavar="N", type=at_least(0), help="of plateau: epochs without progress (default: 5)")


def of_training(group) -> None:
    """What else belongs to the training."""
    add = group.add_argument
    add("--recipe", metavar="NAME", choices=("paper", "small"), help="paper, or small (default: see below)")
    add("--epochs", metavar="N", type=at_least(0), help="passes over the training images")
    add("-b", "--batch-size", metavar="N", type=at_least(1), help="images a step")
    add("--label-smoothing", "--smoothing", metavar="X", type=number(0, below=1), help="share of a label that all get")
    add("--aux-weight", metavar="X", type=number(0), help="train with auxiliary heads, their losses times X")
    add("--patience", metavar="N", type=at_least(1),
        help="stop after so many epochs without a lower validation (or else training) loss")  # fmt: skip
    add("--weights", metavar="FILE", help="weights to begin with")
    add("--recalibrate-bn", action=YES_NO, help="estimate moving statistics anew at the end")
    add("--seed", metavar="N", type=at_least(0), help="of weights, order and augmentation (default: 0)")
    add("--limit-batches", metavar="N", type=at_least(1),
        help="at most so many of training, of validation and of the test: for a quick try")  # fmt: skip
    add("--debug-nan", action=YES_NO, help="keep the weights before each step, to find the first NaN")


def of_machine(group) -> None:
    """Where and in which numbers it computes."""
    add = group.add_argument
    add("--device", metavar="NAME", type=device, help="cpu, gpu, gpu:N or auto (default: cpu)")
    add("--dtype", metavar="NAME", choices=("float32", "float64"), help="float32 (default) or float64")
    add("--threads", metavar="N", type=at_least(1), help="of the CPU (default: all)")
    add("--conv", metavar="NAME", choices=ALGORITHMS, help=f"one of: {', '.join(ALGORITHMS)} (default: auto)")
    add("--precision", metavar="NAME", choices=PRECISIONS, help="default, or highest: direct convolutions alone")


def of_run(group) -> None:
    """The run folder, checkpoints and progress."""
    add = group.add_argument
    add("--output", metavar="DIR", help="where run folders are made (default: runs)")
    add("--name", type=plain_name, help="of the run folder (default: the model's); never overwritten: NAME-2, ...")
    add("--resume", metavar="PATH", nargs="?", const="auto",
        help="go on with a run: its folder, a checkpoint, or auto (default): the latest")  # fmt: skip
    add("--save-every", metavar="N", type=every, help="epochs between checkpoints, or steps as 200s (default: 1)")
    add("--keep", metavar="N", type=at_least(1), help="of the last checkpoints; the best one besides (default: 3)")
    add("--on-save-error", choices=("stop", "continue"), metavar="WHAT",
        help="stop (default) or continue where a checkpoint cannot be written")  # fmt: skip
    add("--tensorboard", action=YES_NO, help="write events for TensorBoard")
    add("--log-interval", metavar="N", type=at_least(1), help="steps a line, off a terminal (20)")
    add("--summary", action="store_true", help="print the network and stop")
    add("-q", "--quiet", action="store_true", help="only the result")
    add("-v", "--verbose", action="store_true", help="also the settings and versions")


GROUPS = {
    "the network and the data": of_data,
    "training (defaults: the recipe's)": of_training,
    "the optimizer (defaults: the recipe's)": of_optimizer,
    "the learning rate (defaults: the recipe's)": of_schedule,
    "the machine": of_machine,
    "the run folder and the progress": of_run,
}
