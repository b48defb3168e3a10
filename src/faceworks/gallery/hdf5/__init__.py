"""The embedded gallery in HDF5, and the layouts of the course notes. The only package that speaks h5py about galleries."""

from __future__ import annotations

from .base_file import is_sealed
from .store import Hdf5Backend

__all__ = ["Hdf5Backend", "is_sealed"]
