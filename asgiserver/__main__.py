"""``python -m asgiserver`` is the command `asgiserver`; nothing else belongs here."""

import sys

from asgiserver.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
