"""``python -m asgiserver.options`` prints the reference of all options, ``docs/options.md``."""

import sys

from asgiserver.config.options import markdown

__all__: list[str] = []

if __name__ == "__main__":
    sys.stdout.write(markdown())
