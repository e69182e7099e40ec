"""The settings of a run that goes on: its own, and over them what the command line says now."""

from typing import Any

from minicnn.commands import UsageError, runs
from minicnn.commands.arguments import changed, complete, from_file, from_table


def resumed(given: dict[str, Any], found: runs.Found) -> dict[str, Any]:
    """What goes on, for `complete`. given: what the command line says   found: the run.

    A run that goes on in its own folder keeps its --name and --output. Raises UsageError for what cannot change, and
    for fewer epochs than the run has behind it; OSError where its config file is not there.
    """
    if found.origin is not None:
        own = from_file(str(found.origin / runs.CONFIG))
    else:  # a file from elsewhere: where it goes on is not its affair
        table = {key: value for key, value in found.checkpoint.facts["config"].items() if key != "output"}
        own = from_table(table, str(found.path))
    settings = changed(own, given)
    epochs, done = complete(settings).epochs, found.checkpoint.facts["epoch"]
    if epochs < done:
        raise UsageError(f"--epochs {epochs}: the run has {done} epochs behind it, which nothing takes back")
    if found.in_place:
        settings |= {key: own[key] for key in ("name", "output") if key in own}
    return settings
