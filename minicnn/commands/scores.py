"""What a classifier is worth: accuracy, confusion, and precision, recall and F1 of each class."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Scores:
    """Of N images with `labels` (N,) for which a network gave `probabilities` (N, C)."""

    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """(N,): the class with the largest probability, the first of equal ones."""
        return self.probabilities.argmax(-1)

    @property
    def accuracy(self) -> float:
        """The share of images whose class was found."""
        return float((self.predicted == self.labels).mean())

    def top(self, k: int) -> float:
        """The share of images whose class is among the k most probable ones."""
        own = np.take_along_axis(self.probabilities, self.labels[:, None], 1)
        return float(((self.probabilities > own).sum(-1) < k).mean())

    @property
    def losses(self) -> np.ndarray:
        """(N,): -log of the probability of the class of each image."""
        own = np.take_along_axis(self.probabilities, self.labels[:, None], 1)[:, 0]
        return -np.log(np.maximum(own.astype(np.float64), np.finfo(np.float32).tiny))

    @property
    def confusion(self) -> np.ndarray:
        """(C, C): how many images of class i (rows) were taken for class j (columns)."""
        count = self.probabilities.shape[1]
        return np.bincount(self.labels * count + self.predicted, minlength=count**2).reshape(count, count)

    def by_class(self) -> list[dict[str, float]]:
        """For each class: images, precision (of those taken for it, how many are), recall (of it, how many were found)
        and F1, their harmonic mean. What has no images, or was never found, has 0."""
        matrix = self.confusion
        right, of_class, taken = np.diag(matrix), matrix.sum(1), matrix.sum(0)
        precision, recall = right / np.maximum(taken, 1), right / np.maximum(of_class, 1)
        f1 = 2 * right / np.maximum(of_class + taken, 1)
        rows = zip(of_class.tolist(), precision.tolist(), recall.tolist(), f1.tolist(), strict=True)
        return [dict(zip(("images", "precision", "recall", "f1"), row, strict=True)) for row in rows]

    def worst(self, count: int) -> np.ndarray:
        """The indices of the mistakes with the largest losses, the worst first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        return wrong[np.argsort(-self.losses[wrong], kind="stable")][:count]
