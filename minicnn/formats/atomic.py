"""Writing a file so that a crash leaves the old one or the new one, never half of one."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """`write(temporary)` beside `path`, then fsync, then rename over it. Raises OSError; the old file still stands."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode & 0o777  # as the umask has it: safetensors makes files for the owner alone
        write(temporary)
        temporary.chmod(mode)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OSError(f"{path}: cannot be written ({error.strerror or error})") from error
        raise
    if os.name == "posix":  # the rename itself is safe on disk once the folder is
        try:
            sync_folder(path.parent)
        except OSError as error:
            raise OSError(f"{path}: perhaps not on disk yet ({error.strerror or error})") from error


def sync_folder(path: Path) -> None:
    """Brings the names in a folder to disk. Raises OSError; a file system that cannot do so is let be."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(folder)
