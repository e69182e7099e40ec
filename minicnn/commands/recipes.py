"""How each network is trained unless a flag says otherwise."""

DEFAULT = {"epochs": 10, "batch_size": 32, "opt": "adam", "lr": 1e-3, "sched": "cosine", "shift": 0}

# (model, data set): what differs from DEFAULT.
RECIPES: dict[tuple[str, str], dict[str, object]] = {
    ("lenet5", "digits"): {"epochs": 15, "lr": 2e-3, "shift": 2},
}


def recipe(model: str, variant: str | None, dataset: str) -> dict[str, object]:
    """The settings of training for this network on this data set."""
    return DEFAULT | RECIPES.get((model, dataset), {})
