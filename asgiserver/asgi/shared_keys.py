"""Cheap attributes for classes of which each request makes an object."""

from __future__ import annotations


def share_keys(kind: type) -> None:
    """Let all instances of `kind` share the names of the attributes that it has defaults for.

    CPython keeps the names of attributes once for all instances, but only those that one of the
    first thirty instances has had. From then on an instance that sets another one gets a dict of
    its own: two blocks of memory, and slower access to all its attributes. So the first POST after
    thirty GETs would make every POST dearer.
    """
    first: object = object.__new__(kind)
    for name, value in vars(kind).items():
        if not (callable(value) or isinstance(value, property) or name.startswith("__")):
            setattr(first, name, value)
