"""`python -m benchmarks COMMAND`: cpu, kernels, scaling, training, study, show."""

import argparse
import importlib
import sys

COMMANDS = {
    "cpu": "networks against PyTorch and Keras, in turn",
    "kernels": "each kernel against the reference kernel and PyTorch, with its error",
    "scaling": "how the cost grows with the batch and the image",
    "training": "whole trainings and epochs beside PyTorch and Keras",
    "study": "what the instruments cost beside a training step",
    "show": "the tables and the chart of a results file once more",
}


def main(argv: list[str] | None = None) -> int:
    """Runs the command; a command is a module here with arguments(parser) and main(settings)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = {}
    for name, purpose in COMMANDS.items():
        modules[name] = importlib.import_module(f"benchmarks.{name}")
        modules[name].arguments(commands.add_parser(name, help=purpose, description=modules[name].__doc__))
    settings = parser.parse_args(argv)
    return modules[settings.command].main(settings)


if __name__ == "__main__":
    sys.exit(main())
