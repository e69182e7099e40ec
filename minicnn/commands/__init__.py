"""The commands: `minicnn NAME ...`, `python -m minicnn NAME ...`. One file a command: arguments in, words out."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from minicnn.names import unknown

COMMANDS = {
    "train": "train a network of the zoo on a data set",
    "evaluate": "test the network of a run, class by class",
    "predict": "say what a network sees in pictures",
    "plot": "draw what a run learned: curves, mistakes, filters",
    "compare": "several runs side by side",
    "list": "the networks of the zoo",
    "summary": "the layers of a network, their parameters and multiply-adds",
    "study": "an instrument: what a skip connection does to a gradient, and more",
}
MODULES = {"list": "list_"}  # a module called list would hide Python's own in this one

# Exit codes: what a script may rely on. 128 + the signal's number where one stopped the command.
ERROR, USAGE, MEMORY, NOT_FINITE = 1, 2, 12, 20


class UsageError(Exception):
    """The command line, or the config file, asks for something that does not exist. Exit code 2."""


class Stopped(Exception):
    """The command ended before its time, in good order. Carries its own exit code."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `minicnn NAME ...` and returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: minicnn COMMAND ...\n\ncommands (minicnn COMMAND --help tells more):")
        print("\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items()))
        return 0 if argv else USAGE
    if argv[0] not in COMMANDS:
        print(f"minicnn: {unknown('command', argv[0], COMMANDS)}", file=sys.stderr)
        return USAGE
    return importlib.import_module(f"{__name__}.{MODULES.get(argv[0], argv[0])}").main(argv[1:])


def guarded(name: str, command: Callable[[], int | None]) -> int:
    """Runs a command and turns what it raises into one line on stderr and an exit code.

    With MINICNN_DEBUG=1 in the environment the traceback comes through.
    """
    if os.environ.get("MINICNN_DEBUG", "0") not in ("", "0"):
        return command() or 0
    try:
        code = command() or 0
        sys.stdout.flush()  # so that a closed pipe shows here
        return code
    except Stopped as error:
        message, code = str(error), error.code
    except UsageError as error:
        message, code = f"{error} (minicnn {name} --help shows the usage)", USAGE
    except MemoryError as error:
        message, code = f"out of memory: try a smaller --batch-size ({error or 'MemoryError'})", MEMORY
    except KeyboardInterrupt:
        message, code = "stopped by Ctrl-C", 130
    except BrokenPipeError:  # `minicnn list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return 128 + 13  # SIGPIPE, as of any other program
    except Exception as error:  # whatever it is: the user gets one line, and a way to see more
        message, code = _one_line(error), ERROR
    print(f"minicnn {name}: {message}", file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, ImportError) and "pip install" in text:
        return text  # an extra that is absent
    if isinstance(error, ValueError | RuntimeError | OSError) and text:
        return text  # ours, or the system's: it says what is wrong
    return f"{type(error).__name__}: {text} (MINICNN_DEBUG=1 shows where)"
