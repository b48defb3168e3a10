"""Galleries: people enrolled, found, removed.

    with faceworks.open_gallery("people.h5") as gallery:
        gallery.enroll("Ada Lovelace", "ada1.jpg", "ada2.jpg", metadata={"Department": "engines"})
        gallery.identify(["party.jpg"])[0][0].person

`Gallery` holds every rule about people (names and ids, duplicates, thresholds, expiry, undo, audit), a `Backend` stores and searches and knows none.
"""

from __future__ import annotations

from .backend import Backend, Binding, Change, Entries, Hits, Info, Person, Sample, Samples
from .binding import RecipeWarning
from .enrolling import Enrolled, NewFace
from .opening import open_gallery
from .policy import Entry, Gallery

__all__ = [
    "Backend",
    "Binding",
    "Change",
    "Enrolled",
    "Entries",
    "Entry",
    "Gallery",
    "Hits",
    "Info",
    "NewFace",
    "Person",
    "RecipeWarning",
    "Sample",
    "Samples",
    "open_gallery",
]
