"""Sends a part of a file past a transport: by the kernel where it can, else by reading and writing.

`os.sendfile` works on the transport's own socket, on every event loop (uvloop has no `sendfile`),
as long as nothing is left in the transport's buffer. This module knows no framing.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

from asgiserver.asgi.files import read_at
from asgiserver.wire.output import TURN_SIZE

if TYPE_CHECKING:
    from asgiserver.wire.output import Output

READ_SIZE = 262144
"""Bytes of a file read at a time where the kernel cannot send it."""

_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP)


async def send_file(output: Output, fd: int, offset: int, count: int) -> None:
    """Send `count` bytes of an open file after what has been written so far.

    Returns early when the connection is lost (`transport.is_closing`). Raises `OSError` when the
    file is shorter or cannot be read.
    """
    if has_sendfile(output.transport) and await _drain(output):
        sent = await _send_by_kernel(output, fd, offset, count)
        offset += sent
        count -= sent
    if count and not output.transport.is_closing():
        await _send_by_reading(output, fd, offset, count)


def has_sendfile(transport: asyncio.BaseTransport) -> bool:
    """Whether bytes of a file may go directly to the transport's socket."""
    return (
        hasattr(os, "sendfile")
        and transport.get_extra_info("sslcontext") is None
        and transport.get_extra_info("socket") is not None
    )


async def _drain(output: Output) -> bool:
    """Wait until the kernel has all that was written; false when that is impossible."""
    transport = output.transport
    if transport.is_closing():
        return False
    # With a limit of 0 the transport pauses us as long as anything is left in its buffer. The limit
    # is set before the flush, because uvloop keeps what is below it until the end of the turn.
    transport.set_write_buffer_limits(high=0)
    try:
        output.flush()
        while output.write_paused:
            await output.wait_writable()
        return not transport.get_write_buffer_size()
    finally:
        if not transport.is_closing():
            transport.set_write_buffer_limits()


async def _send_by_kernel(output: Output, fd: int, offset: int, count: int) -> int:
    """Call `os.sendfile` until all is sent; return how many bytes were sent.

    They are fewer than `count` when the kernel cannot send this file, or the connection is lost.
    """
    transport = output.transport
    sent = 0
    while sent < count and not transport.is_closing():
        if not output.writable:
            await output.wait_writable()
            continue
        try:
            out = transport.get_extra_info("socket").fileno()
            size = os.sendfile(out, fd, offset + sent, min(count - sent, TURN_SIZE))
        except BlockingIOError:
            await _wait_for_socket(output)
        except (ConnectionError, TimeoutError):
            transport.abort()
        except OSError as error:
            if sent or error.errno not in _UNSUPPORTED:
                raise
            break
        else:
            if not size:
                raise OSError("the file is shorter than announced")
            sent += size
            output.spend(size)
    return sent


async def _wait_for_socket(output: Output) -> None:
    """Return as soon as the kernel takes more, or the connection is lost.

    The loop refuses a writer for the transport's own descriptor, so it watches a duplicate. The
    rest of the connection sees a transport with a full buffer, which also arms and disarms the
    deadline for a client that does not read.
    """
    loop = asyncio.get_running_loop()
    duplicate = os.dup(output.transport.get_extra_info("socket").fileno())

    def on_writable() -> None:
        loop.remove_writer(duplicate)
        if output.write_paused:  # else the connection has been lost
            output.resume_writing()

    try:
        output.pause_writing()
        loop.add_writer(duplicate, on_writable)
        await output.wait_writable()
    finally:
        loop.remove_writer(duplicate)
        os.close(duplicate)
        if output.write_paused:  # the task was cancelled
            output.resume_writing()


async def _send_by_reading(output: Output, fd: int, offset: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    while count and not output.transport.is_closing():
        read = min(count, READ_SIZE)
        data = await loop.run_in_executor(None, read_at, fd, read, offset)
        if not data:
            raise OSError("the file is shorter than announced")
        output.write(data)
        offset += len(data)
        count -= len(data)
        if not output.writable:
            await output.wait_writable()
