"""Functions for test_batch.py: a spawned worker imports them by name."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from faceworks import settings
from faceworks.batch.rows import FaceRows, rows_of
from faceworks.errors import AssetUnavailable, ImageError
from faceworks.types import Face, FaceResult


def read(source):
    text = Path(source).read_text()
    if text == "unreadable":
        raise ImageError(f"{source} is not a picture")
    return text


def same(source):
    return source


def shout(texts):
    if "bad" in texts:
        raise RuntimeError("bad is bad")
    return [text.upper() for text in texts]


def count_all(texts):
    return [len(texts)] * len(texts)


def process(texts):
    return [(os.getpid(), threading.get_ident(), str(settings.current().cache)) for _ in texts]


def suicide(numbers):
    if 5 in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return numbers


def too_few(texts):
    return texts[:-1]


def no_weights(texts):
    raise AssetUnavailable("no source could give it")


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__(one)
        self.lock = threading.Lock()


def strange(texts):
    raise Unpicklable(1, 2)


@dataclasses.dataclass(frozen=True)
class ToyRows(FaceRows):
    """Rows without a network: a picture has as many faces as its red value modulo 3."""

    delay: float = 0.0

    def __call__(self, pictures):
        time.sleep(self.delay * len(pictures))
        face = Face([1, 2, 3, 4], 0.5, None, "toy")
        return [rows_of(picture, [FaceResult(face)] * (int(picture.pixels[0, 0, 0]) % 3)) for picture in pictures]


@dataclasses.dataclass(frozen=True)
class MortalRows(ToyRows):
    """Dies by SIGKILL, once, at each picture whose red value is in `deadly` (of those without green); a file in `marks` remembers it."""

    deadly: tuple[int, ...] = ()
    marks: str = ""

    def __call__(self, pictures):
        for picture in pictures:
            red, green, _ = picture.pixels[0, 0]
            mark = Path(self.marks) / f"died-{red}"
            if green == 0 and red in self.deadly and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(pictures)


def load_or_die(source):
    if source == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return source


def large(numbers):
    time.sleep(0.005 * len(numbers))
    return [np.full(200_000, number % 251, np.uint8) for number in numbers]
