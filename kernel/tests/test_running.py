"""What a serving process does with its memory."""

import platform
import subprocess
import sys

import pytest

BODIES = """
import resource
{tune}

def requests():
    for _ in range(50):
        bodies = [b"x" * 100_000 for _ in range(8)]
        [body + b"y" for body in bodies]

requests()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
requests()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
TUNED = "from omniroute.cli.running import tune_allocator; tune_allocator()"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have limits of their own")
def test_memory_of_bodies_is_used_again_instead_of_asked_for_again():
    faults = [
        int(subprocess.run([sys.executable, "-c", BODIES.format(tune=tune)], capture_output=True, check=True).stdout)
        for tune in ("", TUNED)
    ]
    assert faults[0] > 50 * 100, "the test shows what it is about"
    assert faults[1] < 50
