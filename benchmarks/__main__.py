"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import sys

from benchmarks import compare
from benchmarks.environment import BenchmarkError


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ab")
    compare.add_arguments(parser)
    return compare.main(parser.parse_args(arguments[1:]))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BenchmarkError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
