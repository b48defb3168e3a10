"""The reader of each kind of data set."""

from __future__ import annotations

from ..errors import ConfigError
from ..evaluate import labeled
from ..evaluate.labeled import LabeledPictures
from .config import DataConfig
from .recordio import read_recordio

__all__ = ["read"]


def read(config: DataConfig) -> LabeledPictures:
    """Labeled pictures of a data set; which labels there are is checked.

    Raises:
        ConfigError: a target that the data set does not have.
        InputError: the data set itself is wrong.
    """
    source = config.source
    if config.kind == "folders":
        found = labeled.read_person_folders(source)
    elif config.kind == "classes":
        found = labeled.read_class_folders(source, config.targets[0])
    elif config.kind == "csv":
        found = labeled.read_labels_csv(source, config.root or None)
    elif config.kind == "fer2013":
        found = labeled.read_fer2013(source)
    elif config.kind == "utkface":
        found = labeled.read_utkface(source)
    elif config.kind == "adience":
        found = labeled.read_adience(source)
    else:
        found = read_recordio(source)
    if unknown := [name for name in config.targets if name not in found.labels]:
        raise ConfigError(f"{source}: has no label {', '.join(unknown)}; data.targets may name {', '.join(found.labels)}")
    return found
