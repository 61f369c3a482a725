"""uvicorn's supervisors, for programs that use these classes themselves.

`asgiserver.compat.uvicorn.run` does not use them: it has our own supervisor.
"""

from asgiserver.compat.uvicorn.supervisors.basereload import BaseReload, ChangeReload
from asgiserver.compat.uvicorn.supervisors.multiprocess import Multiprocess

__all__ = ["BaseReload", "ChangeReload", "Multiprocess"]
