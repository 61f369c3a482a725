"""WsgiDAV: a folder over WebDAV, as WSGI.

    asgiserver examples.frameworks.wsgidav_app:app

Mount http://127.0.0.1:8000, or open it in a browser. Anybody may write to it. It serves the folder
that `DAV_FOLDER` names, else a temporary one. Locks are kept in the memory of one process: several
workers need another lock storage, see WsgiDAV.
"""

from __future__ import annotations

import os
import tempfile

from wsgidav.wsgidav_app import WsgiDAVApp

temporary = tempfile.TemporaryDirectory()

app = WsgiDAVApp(
    {
        "provider_mapping": {"/": os.environ.get("DAV_FOLDER", temporary.name)},
        "property_manager": True,
        "simple_dc": {"user_mapping": {"*": True}},
        "logging": {"enable": False},
    }
)
