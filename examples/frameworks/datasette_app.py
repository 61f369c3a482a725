"""Datasette: a database to look through, as pages, JSON and CSV.

    asgiserver examples.frameworks.datasette_app:app --workers 2

Open http://127.0.0.1:8000. The database is made anew at each start, in a temporary folder.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from datasette.app import Datasette

ROWS = 5_000

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "shop.db"
with sqlite3.connect(path) as database:
    database.execute("CREATE TABLE teas (id INTEGER PRIMARY KEY, name TEXT)")
    teas = ((number, f"tea number {number}") for number in range(1, ROWS + 1))
    database.executemany("INSERT INTO teas VALUES (?, ?)", teas)
database.close()

app = Datasette([path], settings={"max_csv_mb": 0}).app()
