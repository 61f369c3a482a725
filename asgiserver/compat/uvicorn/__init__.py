"""A stand-in for uvicorn: its interface, on this server.

    import asgiserver.compat.uvicorn
    asgiserver.compat.uvicorn.install()    # before anything imports uvicorn

or, for a command and all its children: ``asgiserver exec -- fastapi run main.py``. Afterwards
``import uvicorn`` gives this package. See docs/compat.md.
"""

from asgiserver.compat.uvicorn.config import Config
from asgiserver.compat.uvicorn.install import install
from asgiserver.compat.uvicorn.main import main, run
from asgiserver.compat.uvicorn.server import Server

__version__ = "0.54.0"
"""The version of uvicorn whose interface this is."""

__all__ = ["Config", "Server", "__version__", "install", "main", "run"]
