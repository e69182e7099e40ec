"""What the figures were taken on, and whether it was quiet."""

import datetime
import os
import platform
import time
from pathlib import Path
from typing import Any

from benchmarks.sides import versions

BUSY = 0.1  # of one core: beyond this, others take part in the measurement


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(threads: int) -> dict[str, Any]:
    """Date, versions, processor and threads, as they stand in every results file."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": processor(),
        "cores": cores(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def processor() -> str:
    """The model of the CPU, and the widest vectors that it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    found = {key.strip(): value.strip() for key, value in found.items()}
    name, flags = found.get("model name", platform.machine()), found.get("flags", "").split()
    vectors = next((word for word in ("avx512f", "avx2", "avx") if word in flags), "")
    return f"{name} ({vectors})" if vectors else name


def busy(seconds: float = 1.0) -> float | None:
    """How many cores others keep busy while we wait; None where the system does not say."""
    before = _jiffies()
    if before is None:
        return None
    time.sleep(seconds)
    after = _jiffies()
    return (after - before) / os.sysconf("SC_CLK_TCK") / seconds if after is not None else None


def _jiffies() -> int | None:
    """Time in which any core worked, since the start: user, nice, system, irq, softirq and steal."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, first[1:9])
    return user + nice + system + irq + softirq + steal


def warning(load: float | None) -> str | None:
    """What to say of a machine on which others keep `load` cores busy."""
    if load is None:
        return "WARNING: this system does not say whether others use it; figures may be off"
    if load > BUSY:
        return f"WARNING: others keep {load:.1f} cores busy: times are too long, and ratios doubtful"
    return None
