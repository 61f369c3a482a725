"""Cheap attributes for classes of which each request makes an object.

Such a class sets what most of its instances use in `__init__`, and has no default for it: CPython
does not specialise the access to an attribute of an instance that its class has, too, so each takes
ten times as long (30 to 50 ns). Defaults of the class are for what few instances set.
"""

from __future__ import annotations

from inspect import get_annotations


def share_keys(kind: type) -> None:
    """Let all instances of `kind` share the names of the attributes that it declares.

    CPython keeps the names of attributes once for all instances, but only those that one of the
    first thirty instances has had. From then on an instance that sets another one gets a dict of
    its own: two blocks of memory, and slower access to all its attributes. So the first POST after
    thirty GETs would make every POST dearer. A `ClassVar` is left out, as no instance has it.
    """
    first: object = object.__new__(kind)
    for name, declared in get_annotations(kind).items():
        if not declared.startswith("ClassVar"):
            setattr(first, name, vars(kind).get(name))
