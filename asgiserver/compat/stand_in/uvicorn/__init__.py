"""What Python finds as `uvicorn` below ``asgiserver exec``: it makes place for the stand-in."""

import sys

try:
    from asgiserver.compat.uvicorn.install import install
except ModuleNotFoundError:
    raise ImportError(
        f"asgiserver exec: {sys.executable} has no asgiserver, so it has no stand-in for uvicorn:"
        " pip install asgiserver-py"
    ) from None

__all__: list[str] = []

install()
