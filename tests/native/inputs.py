"""Writes good inputs for the fuzz targets: ``python native/inputs.py FOLDER``, from tests/."""

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from real_heads import REAL_HEADS

ADDRESSES = [
    b"192.0.2.1",
    b"192.0.2.1:4711, 10.0.0.1",
    b"2001:db8::1",
    b"[2001:DB8:0:0:1::]:443,::1",
    b"1:2:3:4:5:6:7:8",
]

CORPUS = Path(__file__).resolve().parent.parent / "corpus"


def field_blocks():
    """The blocks of the RFC's examples."""
    for case in tomllib.loads((CORPUS / "hpack_examples.toml").read_text())["case"]:
        for step in case["blocks"]:
            yield bytes.fromhex(step["block"])


def write(folder, name, inputs):
    (folder / name).mkdir(parents=True)
    for number, data in enumerate(inputs):
        (folder / name / str(number)).write_bytes(data)


write(Path(sys.argv[1]), "head", REAL_HEADS.values())
write(Path(sys.argv[1]), "addresses", ADDRESSES)
write(Path(sys.argv[1]), "hpack", field_blocks())
