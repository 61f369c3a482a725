"""The compiled core, and the README as an index shows it; all else stands in pyproject.toml."""

import os
import re
from glob import glob
from pathlib import Path

from setuptools import Extension, setup

FOLDER = "asgiserver/speedups"

core = Extension(
    "asgiserver.speedups._core",
    sources=sorted(glob(f"{FOLDER}/*.c")),
    depends=sorted(glob(f"{FOLDER}/*.h")),
    optional=True,  # without a compiler the package is the same, and slower
)


def repository():
    """Where the repository is, which GitHub tells its workflows; nobody knows it elsewhere."""
    name = os.environ.get("GITHUB_REPOSITORY")
    return name and f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}"


def description(readme, address):
    """The README with links that work outside of the repository, or only the words of a link."""
    revision = os.environ.get("GITHUB_SHA", "main")
    target = rf"[\1]({address}/blob/{revision}/\2)" if address else r"\1"
    return re.sub(r"\[([^\]]*)\]\((?!https?:|#)([^)]+)\)", target, readme)


def urls(address):
    if not address:
        return {}
    return {
        "Source": address,
        "Documentation": f"{address}/blob/main/docs/index.md",
        "Changes": f"{address}/blob/main/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }


if __name__ == "__main__":
    setup(
        ext_modules=[] if os.environ.get("ASGISERVER_SPEEDUPS") == "0" else [core],
        long_description=description(Path("README.md").read_text(encoding="utf-8"), repository()),
        long_description_content_type="text/markdown",
        project_urls=urls(repository()),
    )
