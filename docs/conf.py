"""Makes a site of the pages in this folder: `make docs`, with Sphinx and MyST.

The pages are plain Markdown, which a code host shows as well. So three things that Sphinx wants to
be told in its own way are read from what stands there anyway: the order of the pages from the lists
of links in `LISTS`, and that of the decisions from their numbers; links out of this folder, which
lead into the repository where its address is known (`REPOSITORY_URL`, or the variables of GitHub's
workflows); and the version from the package.
"""

import os
import re
from pathlib import Path

from docutils import nodes

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

# Pages whose lists of links are the table of contents.
LISTS = ("index", "deployment", "migration")
DECISIONS = "\n```{toctree}\n:glob:\n:maxdepth: 1\n\nadr/0*\n```\n"

project = "asgiserver"
author = "asgiserver contributors"
release = re.findall(r'__version__ = "(.+)"', (ROOT / "asgiserver/_version.py").read_text())[0]
version = release

extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["conf.py"]
myst_heading_anchors = 6
nitpicky = True

html_theme = "furo"
html_title = f"asgiserver {release}"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False


def repository_url():
    """Where a host shows files of the repository, such as `https://host/name/blob/main`."""
    if url := os.environ.get("REPOSITORY_URL"):
        return url.rstrip("/")
    if name := os.environ.get("GITHUB_REPOSITORY"):
        host = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{host}/{name}/blob/{os.environ.get('GITHUB_SHA', 'main')}"
    return ""


REPOSITORY = repository_url()
myst_url_schemes = {
    "http": None,
    "https": None,
    "mailto": None,
    "repository": {"url": (REPOSITORY or "repository:") + "/{{path}}#{{fragment}}"},
}


def links_of_the_repository(page, text):
    """The text of a page with a scheme of their own for links to files outside this folder."""

    def named(found):
        target, _, fragment = found[1].partition("#")
        path = Path(os.path.normpath((DOCS / page).parent / target))
        if path.is_relative_to(DOCS) or path.suffix in (".svg", ".png"):
            return found[0]
        return f"](repository:{path.relative_to(ROOT)}{'#' if fragment else ''}{fragment})"

    return re.sub(r"\]\((\.\./[^)\s]+)\)", named, text)


def tables_of_contents(text):
    """The lists of links in a page, each below its heading, in the words of Sphinx."""
    tables, caption = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            caption = line[3:]
        elif item := re.match(r"- \[([^\]]+)\]\(([^)#:]+)\.md\)", line):
            if not tables or tables[-1][0] != caption:
                tables.append((caption, []))
            tables[-1][1].append(f"{item[1].replace('`', '')} <{item[2]}>")
    return "".join(
        "\n\n```{toctree}\n:hidden:\n"
        + (f":caption: {caption}\n" if caption else "")
        + "\n"
        + "\n".join(entries)
        + "\n```\n"
        for caption, entries in tables
    )


def read(app, page, source):
    text = source[0]
    source[0] = links_of_the_repository(page, text)
    if page in LISTS:
        source[0] += tables_of_contents(text)
    elif page == "decisions":
        source[0] += DECISIONS


def without_address(app, doctree):
    """Leave the words of a link to the repository where nobody knows its address."""
    for reference in list(doctree.findall(nodes.reference)):
        address = reference.get("refuri", "")
        if address.startswith("repository:"):
            reference.replace_self(reference.children)
        elif REPOSITORY and address.startswith(REPOSITORY):
            reference["refuri"] = address.rstrip("#")


def setup(app):
    app.connect("source-read", read)
    app.connect("doctree-read", without_address)
    return {"parallel_read_safe": True}
