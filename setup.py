"""The compiled core; all else about the package stands in pyproject.toml."""

import os
from glob import glob

from setuptools import Extension, setup

FOLDER = "asgiserver/speedups"

core = Extension(
    "asgiserver.speedups._core",
    sources=sorted(glob(f"{FOLDER}/*.c")),
    depends=sorted(glob(f"{FOLDER}/*.h")),
    optional=True,  # without a compiler the package is the same, and slower
)

setup(ext_modules=[] if os.environ.get("ASGISERVER_SPEEDUPS") == "0" else [core])
