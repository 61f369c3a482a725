"""Gradio: a page with a generator and an upload, mounted on FastAPI.

    asgiserver examples.frameworks.gradio_app:app

Open http://127.0.0.1:8000. Gradio keeps its queue and sessions in memory: one process serves them.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import gradio
from fastapi import FastAPI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def count(number: float) -> Iterator[str]:
    """What has been counted so far, each time that it is more."""
    for last in range(1, int(number) + 1):
        yield " ".join(map(str, range(1, last + 1)))


async def tick() -> AsyncIterator[int]:
    """Go on until the visitor leaves."""
    for number in itertools.count(1):
        yield number
        await asyncio.sleep(0.05)


def digest(path: str) -> dict[str, str | int]:
    """Length and SHA-256 of a file that has been uploaded."""
    content = Path(path).read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


with gradio.Blocks(title="Gradio on asgiserver", analytics_enabled=False) as page:
    number = gradio.Number(3, label="Count to")
    counted = gradio.Textbox(label="Counted", elem_id="counted")
    gradio.Button("Count", elem_id="count").click(count, number, counted)
    ticks = gradio.Number(label="Ticks", elem_id="ticks")
    gradio.Button("Tick", elem_id="tick").click(tick, None, ticks)
    file = gradio.File(label="File", elem_id="file")
    result = gradio.JSON(label="Digest", elem_id="digest")
    file.upload(digest, file, result)

app = gradio.mount_gradio_app(FastAPI(), page, path="/")
