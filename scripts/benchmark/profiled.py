"""`python -m benchmark.profiled FILE ARGUMENTS…` runs `omniroute ARGUMENTS…` under cProfile, by CPU time: who else is busy
on the machine is not in it. Imports are, so that a short run shows mostly the start."""

import cProfile
import runpy
import sys
import time


def main() -> None:
    _, written, *arguments = sys.argv
    sys.argv = ["omniroute", *arguments]
    profiler = cProfile.Profile(time.process_time)
    try:
        profiler.runcall(runpy.run_module, "omniroute", run_name="__main__")
    finally:
        profiler.dump_stats(written)


if __name__ == "__main__":
    main()
