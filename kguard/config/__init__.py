"""`kguard.yaml`: its shape, where it is found, how it is read, and the settings that it asks for."""

from kguard.config.asked import input_settings, merge_settings
from kguard.config.read import find, load
from kguard.config.schema import schema
from kguard.config.shape import Allowed, Chart, Config, Control, Inputs, Kustomization, Merge

__all__ = [
    "Allowed",
    "Chart",
    "Config",
    "Control",
    "Inputs",
    "Kustomization",
    "Merge",
    "find",
    "input_settings",
    "load",
    "merge_settings",
    "schema",
]
