"""NiceGUI: a page whose state lives in the server, on FastAPI.

    asgiserver examples.frameworks.nicegui_app:app

Open http://127.0.0.1:8000. NiceGUI keeps what a visitor sees in memory: one process serves it.
"""

from __future__ import annotations

import itertools

from fastapi import FastAPI
from nicegui import ui

app = FastAPI()


@ui.page("/")
def index() -> None:
    """A button that counts clicks, and a label that a timer of the server counts."""
    clicks, ticks = itertools.count(1), itertools.count(1)
    clicked = ui.label("no click yet").props("id=clicked")
    click = ui.button("Click", on_click=lambda: clicked.set_text(f"{next(clicks)} clicks"))
    click.props("id=click")
    ticked = ui.label("0").props("id=ticked")
    ui.timer(0.1, lambda: ticked.set_text(str(next(ticks))))


ui.run_with(app, title="NiceGUI on asgiserver")
