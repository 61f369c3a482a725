"""``python -m asgiserver.options`` prints the reference of all options, ``docs/options.md``.

``python -m asgiserver.options types`` prints ``asgiserver/config/keywords.py``.
"""

import sys

from asgiserver.config.keyword_types import keywords_module
from asgiserver.config.options import markdown

__all__: list[str] = []

if __name__ == "__main__":
    sys.stdout.write(keywords_module() if sys.argv[1:] == ["types"] else markdown())
