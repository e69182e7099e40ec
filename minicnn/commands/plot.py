"""`minicnn plot RUN`: what a run learned, as pictures in its folder."""

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.commands import UsageError, guarded, loading, pictures
from minicnn.commands.arguments import Parser
from minicnn.commands.evaluate import scores
from minicnn.commands.loading import Opened, open_run
from minicnn.commands.runs import read_metrics
from minicnn.layers import Conv2D
from minicnn.names import unknown

CURVES = "curves.png"
WORST = 24
ROWS = 6  # layers whose activations are shown


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, unless given) and returns its exit code."""
    return guarded("plot", lambda: plot(parser().parse_args(sys.argv[1:] if argv is None else list(argv))))


def parser() -> Parser:
    """The parser of the command."""
    made = Parser(
        prog="minicnn plot",
        usage="%(prog)s RUN [flags]",
        description="Draw a run: the curves of its training, which classes its network confuses, its worst mistakes, "
        "the filters of its first layer, and what becomes of one image. PNG files in the run folder.",
        epilog="Exit codes: 0 ok, 1 error, also where matplotlib is missing (pip install 'minicnn[study]'), 2 usage.",
        formatter_class=lambda prog: argparse.HelpFormatter(
            prog, max_help_position=28, width=min(80, shutil.get_terminal_size().columns)
        ),
        allow_abbrev=False,
    )
    made.add_argument("run", metavar="RUN", help="a run folder, e.g. runs/lenet5")
    made.add_argument("--only", metavar="LIST", help=f"some of them: {','.join(PICTURES)}")
    made.add_argument("--image", metavar="N", type=int, default=0, help="test image for activations (default: 0)")
    made.add_argument("--checkpoint", metavar="WHICH", help="best, last, or a file (default: the weights of the end)")
    made.add_argument("--data-dir", metavar="DIR", help="where the data set lies (default: the run's)")
    made.add_argument("--output", metavar="DIR", help="another folder for the pictures")
    return made


def plot(settings: argparse.Namespace) -> None:
    """Writes the pictures and names them. Raises UsageError, ValueError, OSError and ImportError."""
    wanted = list(PICTURES) if settings.only is None else settings.only.split(",")
    for name in wanted:
        if name not in PICTURES:
            raise UsageError(f"--only {settings.only}: {unknown('picture', name, PICTURES)}")
    pictures.needed()
    folder = Path(settings.output or settings.run)
    subject = Subject(settings)
    if "activations" in wanted:
        subject.check_image()
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        path = PICTURES[name](subject, folder / f"{name}.png")
        print(path if path is not None else f"no {name}: {subject.why}")


def draw_curves(folder: Path, title: str) -> Path | None:
    """curves.png of a run folder; None where no epoch has ended yet."""
    rows = read_metrics(folder)
    if not rows:
        return None
    return pictures.save(folder / CURVES, (10, 3.4), pictures.curves, rows, title)


class Subject:
    """A run to draw; what takes time is computed when it is first asked for."""

    def __init__(self, settings: argparse.Namespace):
        self.folder, self.asked = Path(settings.run), settings
        self.settings = loading.settings_of(settings.run)
        self.title = f"{self.settings.model} on {self.settings.dataset}"
        self.why = ""
        self._opened: Opened | None = None
        self._scores: Any = None

    @property
    def opened(self) -> Opened:
        """The network and its preprocessing."""
        if self._opened is None:
            self._opened = open_run(self.folder, self.asked.checkpoint)
        return self._opened

    @property
    def scores(self) -> Any:
        """Of the test images."""
        if self._scores is None:
            self._scores = scores(self.opened, data_dir=self.asked.data_dir)
        return self._scores

    def check_image(self) -> None:
        """Raises UsageError where there is no test image of this number."""
        count = len(loading.test_part(self.opened, self.asked.data_dir)[1])
        if not 0 <= self.asked.image < count:
            raise UsageError(f"--image must be from 0 to {count - 1}, got {self.asked.image}")

    def images(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Test images as they are, 0..1, and as the network gets them."""
        x, _, top = loading.test_part(self.opened, self.asked.data_dir)
        if not isinstance(x, np.ndarray):
            x = x.sized(self.opened.preprocessing.shape[:2], self.opened.preprocessing.shape[2])
        some = np.asarray(x[indices])
        return some / top, self.opened.preprocessing(some, top)


# The pictures --------------------------------------------------------------------------------------------------------


def _curves(subject: Subject, path: Path) -> Path | None:
    subject.why = "no epoch has ended yet"
    rows = read_metrics(subject.folder)
    return pictures.save(path, (10, 3.4), pictures.curves, rows, subject.title) if rows else None


def _confusion(subject: Subject, path: Path) -> Path:
    found = subject.scores
    title = f"{subject.title}: {found.accuracy:.2%} of {len(found.labels):,} test images"
    return pictures.save(path, (7, 6), pictures.confusion, found, subject.opened.class_names, title)


def _mistakes(subject: Subject, path: Path) -> Path | None:
    found = subject.scores
    wrong = int((found.predicted != found.labels).sum())
    worst = found.worst(WORST)
    if not len(worst):
        subject.why = "every test image was recognised"
        return None
    images = subject.images(worst)[0]
    title = f"{subject.title}: the worst of {wrong:,} mistakes (what it is, what it was taken for, how surely)"
    size = (9, 1.75 * -(-len(worst) // pictures.ACROSS) + 0.4)
    return pictures.save(path, size, pictures.mistakes, images, found, subject.opened.class_names, title)


def _filters(subject: Subject, path: Path) -> Path | None:
    layer = next((layer for layer in subject.opened.model.layers if isinstance(layer, Conv2D)), None)
    if layer is None:
        subject.why = "the network has no convolution"
        return None
    kernel = layer.kernel.numpy()
    title = f"{subject.title}: kernels of {layer.name}, {' x '.join(map(str, kernel.shape))}; mid-grey is 0"
    across = int(np.ceil(np.sqrt(min(kernel.shape[-1], 64))))
    size = (6, 6 * -(-min(kernel.shape[-1], 64) // across) / across + 0.4)
    return pictures.save(path, size, pictures.filters, kernel, title)


def _activations(subject: Subject, path: Path) -> Path:
    image, x = subject.images(np.array([subject.asked.image]))
    maps = _chosen(_maps(subject.opened.model, x))
    title = f"{subject.title}: test image {subject.asked.image}, channels of some layers (black: most)"
    size = (9, 1.2 * (len(maps) + 1) + 0.4)
    return pictures.save(path, size, pictures.activations, image[0], maps, title)


def _maps(model: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs (H, W, C) of all layers that still have a height and a width."""
    maps: dict[str, np.ndarray] = {}

    def keep(node, output):
        shape = getattr(output, "shape", ())
        if len(shape) == 4 and min(shape[1:3]) > 1:
            maps[node.layer.name] = output.numpy()[0]

    model.run(x, tap=keep)
    return maps


def _chosen(maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """At most ROWS of them, evenly from the first to the last."""
    names = list(maps)
    places = np.unique(np.linspace(0, len(names) - 1, min(ROWS, len(names))).round().astype(int))
    return {names[i]: maps[names[i]] for i in places}


PICTURES: dict[str, Callable[[Subject, Path], Path | None]] = {
    "curves": _curves,
    "confusion": _confusion,
    "mistakes": _mistakes,
    "filters": _filters,
    "activations": _activations,
}
