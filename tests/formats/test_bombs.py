"""Hostile files are refused, each in a fresh process that may take little memory and little time."""

import os
import subprocess
import sys
import textwrap

import pytest

h5py = pytest.importorskip("h5py", reason="Keras's files are read with h5py, which is not installed")

from tests.formats import bombs  # noqa: E402  (it needs h5py)
from tests.processes import PATIENCE, one_thread  # noqa: E402

ROOM = 96 << 20  # bytes that a reader may take beyond what the process has with its libraries loaded

# Reads every file named on the command line; says what was raised, and how much the peak of memory rose.
READER = textwrap.dedent("""
    import resource, sys
    import h5py, numpy, safetensors.numpy
    from minicnn.formats import FormatError, keras_files, safetensors
    def peak():  # ru_maxrss would begin with what the parent had
        status = open("/proc/self/status").read()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    virtual = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + ROOM, virtual + ROOM))
    for path in sys.argv[1:]:
        before = peak()
        try:
            (safetensors if path.endswith(".safetensors") else keras_files).read(path)
            print("read", 0, path, sep="|")
        except FormatError as error:
            print("refused", peak() - before, str(error).replace(chr(10), " "), sep="|")
""").replace("ROOM", str(ROOM))


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """{bomb: (verdict, bytes, message)}, all in one process with a limit on its memory."""
    paths = {}
    for name, (write, suffix) in bombs.FILES.items():
        folder = tmp_path_factory.mktemp(name)
        paths[name] = folder / f"{name}{suffix}"
        write(paths[name])
    command = [sys.executable, "-c", READER, *map(str, paths.values())]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=one_thread())
    assert result.returncode == 0, result.stderr
    lines = [line.split("|", 2) for line in result.stdout.splitlines()]
    return {name: (verdict, int(rise), text) for name, (verdict, rise, text) in zip(paths, lines, strict=True)}


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="limits of memory are set the way Linux has them")
@pytest.mark.parametrize("name", bombs.FILES)
def test_refused_before_memory_is_taken(verdicts, name):
    verdict, rise, message = verdicts[name]
    assert verdict == "refused"
    assert name in message  # the file is named
    assert rise < 32 << 20


MESSAGES = {
    "chunks_never_written": "declares 4,398,046,511,104 bytes, but the file has room for 0",
    "external_storage": "in another file",
    "virtual_dataset": "in another file",
    "external_link": "is a link elsewhere \\(ExternalLink\\)",
    "external_link_as_model_weights": "is a link elsewhere",
    "soft_link": "is a link elsewhere \\(SoftLink\\)",
    "one_array_many_times": "linked from several places",
    "a_cycle_of_groups": "linked from several places",
    "groups_without_end": "nested more than 32 deep",
    "one_name_many_times": "1,234,567 bytes of strings at",
    "a_name_of_4_gib": "a string of 4,294,967,295 bytes where there are 1,234,567",
    "a_heap_without_end": "with a string larger than itself",
    "objects": "holds object, not floating-point numbers",
    "integers": "holds int64, not floating-point numbers",
    "a_strange_filter": "HDF5 filter 32000",
    "a_stream_larger_than_its_chunk": "a piece of /layers/dense/vars/0 has 4,104 bytes instead of 4,096",
    "deflated_member": "its members would take",
    "a_member_too_many": "'../evil.py'",
    "the_same_member_twice": "'config.json', 'config.json'",
    "bzip2": "packed in a way that Keras does not use",
    "encrypted": "encrypted",
    "more_than_the_file": "asks for what the file does not hold",
    "a_shape_larger_than_its_data": "asks for what the file does not hold",
}


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="limits of memory are set the way Linux has them")
@pytest.mark.parametrize("name", MESSAGES)
def test_the_message_says_why(verdicts, name):
    with pytest.raises(ValueError, match=MESSAGES[name]):
        raise ValueError(verdicts[name][2])
