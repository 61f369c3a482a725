"""Finding files below a directory: which may be served, in which coding, and with which type.

These functions open and read files, so they run in a thread. They know neither ASGI nor requests.
"""

from __future__ import annotations

import errno
import os
import stat

from asgiserver.asgi.files import INLINE_SIZE, open_to_read, read_at
from asgiserver.http.encodings import choose_coding

INDEX = "index.html"

CODINGS = {b"br": ".br", b"gzip": ".gz"}
"""Content codings, best first, and the suffixes of files that are compressed with them."""

_TEXT = {
    "css": "css", "csv": "csv", "htm": "html", "html": "html", "ics": "calendar",
    "js": "javascript", "log": "plain", "md": "markdown", "mjs": "javascript", "txt": "plain",
    "vtt": "vtt",
}  # fmt: skip
_APPLICATION = {
    "atom": "atom+xml", "gz": "gzip", "json": "json", "jsonld": "ld+json", "map": "json",
    "pdf": "pdf", "rss": "rss+xml", "rtf": "rtf", "tar": "x-tar", "tgz": "gzip", "wasm": "wasm",
    "webmanifest": "manifest+json", "xhtml": "xhtml+xml", "xml": "xml", "yaml": "yaml",
    "yml": "yaml", "zip": "zip",
}  # fmt: skip
_OTHER = {
    "aac": "audio/aac", "apng": "image/apng", "avif": "image/avif", "bmp": "image/bmp",
    "flac": "audio/flac", "gif": "image/gif", "ico": "image/x-icon", "jpeg": "image/jpeg",
    "jpg": "image/jpeg", "m4a": "audio/mp4", "mov": "video/quicktime", "mp3": "audio/mpeg",
    "mp4": "video/mp4", "mpeg": "video/mpeg", "oga": "audio/ogg", "ogg": "audio/ogg",
    "ogv": "video/ogg", "opus": "audio/ogg", "otf": "font/otf", "png": "image/png",
    "svg": "image/svg+xml", "tif": "image/tiff", "tiff": "image/tiff", "ttf": "font/ttf",
    "wav": "audio/wav", "weba": "audio/webm", "webm": "video/webm", "webp": "image/webp",
    "woff": "font/woff", "woff2": "font/woff2",
}  # fmt: skip
# The module `mimetypes` is not used, because its table depends on the machine's files.
_MEDIA_TYPES = {
    **{end: f"text/{name}; charset=utf-8" for end, name in _TEXT.items()},
    **{end: f"application/{name}" for end, name in _APPLICATION.items()},
    **_OTHER,
}


class StaticFile:
    """A file to serve, either read into `data` or as an open descriptor.

    A small file is read in the thread that finds it, because sending it from the descriptor would
    take a second thread. `modified` is seconds since the epoch; `varies` says whether the file
    exists in other codings too.
    """

    __slots__ = ("coding", "data", "etag", "fd", "media", "modified", "size", "varies")

    def __init__(self, fd: int, status: os.stat_result, media: bytes, coding: bytes) -> None:
        self.fd = fd
        self.size = status.st_size
        self.modified = status.st_mtime
        tag = b"%x-%x" % (status.st_mtime_ns, status.st_size)
        self.etag = b'"%b-%b"' % (tag, coding) if coding else b'"%b"' % tag
        self.media = media
        self.coding = coding
        self.varies = False
        self.data: bytes | None = None

    def __repr__(self) -> str:
        return f"<StaticFile fd={self.fd} {self.etag!r} {self.media!r} {self.size}>"

    def fileno(self) -> int:
        """The descriptor, for ``http.response.zerocopysend``."""
        return self.fd

    def close(self) -> None:
        """Close the descriptor. A second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def media_type(name: str) -> bytes:
    """The Content-Type of a file by the suffix of its name; text is taken to be UTF-8."""
    _, dot, end = name.lower().rpartition(".")
    return _MEDIA_TYPES.get(end if dot else "", "application/octet-stream").encode()


def find(root: str, names: list[str], accept: bytes | None) -> StaticFile | int:
    """The file below `root` that `names`, the parts of a path, lead to, or a status.

    An empty last name asks for the index of a directory. `accept` is the Accept-Encoding field. The
    status is 301 for a directory whose path lacks the slash at its end, 403 or 404.
    """
    slash = bool(names) and not names[-1]
    if slash:
        names = names[:-1]
    if any(not name or name.startswith(".") or "\0" in name for name in names):
        return 404
    try:
        # The link is resolved for every request, because a deployment may replace it.
        root = os.path.realpath(root)
        path = _inside(root, os.path.join(root, *names))
        if stat.S_ISDIR(os.stat(path).st_mode):
            if not slash:
                return 301
            names = [*names, INDEX]
            path = _inside(root, os.path.join(path, INDEX))
        elif slash:
            return 404
        return _open_best(path, media_type(names[-1]), accept)
    except PermissionError:
        return 403
    except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError):
        return 404
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            return 404
        raise


_NO_SUCH_FILE = (errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)


def _inside(root: str, path: str) -> str:
    """`path` with its links resolved. Raises `FileNotFoundError` when it is not below `root`.

    Links that stay below the root are followed, whatever the name of their target: Kubernetes
    mounts files as links into a directory ``..data``.
    """
    path = os.path.realpath(path)
    if path != root and not path.startswith(root.rstrip("/") + "/"):
        raise FileNotFoundError(path)
    return path


def _open_best(path: str, media: bytes, accept: bytes | None) -> StaticFile:
    file = _open(path, media, b"")
    try:
        offered = [coding for coding, end in CODINGS.items() if _is_file(path + end)]
        coding = choose_coding(accept, offered)
        if coding:
            file.close()
            file = _open(path + CODINGS[coding], media, coding)
        file.varies = bool(offered)
        if file.size <= INLINE_SIZE:
            file.data = read_at(file.fd, file.size, 0)
            file.size = len(file.data)
            file.close()
    except BaseException:
        file.close()
        raise
    return file


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _open(path: str, media: bytes, coding: bytes) -> StaticFile:
    fd = open_to_read(path, link=False)  # `_inside` has resolved the links
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise FileNotFoundError(path)
    return StaticFile(fd, status, media, coding)
