"""Fingerprints: names of findings that survive edits, new tools and new severities."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable

from kguard.model import KubeObject, ObjectRef


def fingerprint(
    control: str, ref: ObjectRef, container: str | None, discriminator: str | None, *, place: str | None = None
) -> str:
    """16 hex digits of what makes a finding itself, and `-` and 8 of where it stands for an identity that others have."""
    key = json.dumps([control, *ref.identity, container, discriminator], ensure_ascii=False)
    own = hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    if place is None:
        return own
    return f"{own}-{hashlib.sha256(place.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"


class Identities:
    """By which object's identity each finding is known, and which identities more than one object has."""

    def __init__(self, objects: Iterable[KubeObject], known_path: Callable[[str], str] = str) -> None:
        """`known_path`: what fingerprints call a file that reports call so."""
        self._known_path = known_path
        self._first: dict[Hashable, KubeObject] = {}
        for obj in sorted((obj for obj in objects if obj.trace is not None), key=lambda obj: obj.key):
            if obj.trace is not None:  # for the type checker
                self._first.setdefault(obj.trace.source, obj)
        known = {self.object(obj).key: self.object(obj) for obj in objects}.values()
        self._in_run = Counter(obj.ref.identity for obj in known)
        self._in_file = Counter((obj.ref.identity, obj.origin.path) for obj in known)

    def object(self, obj: KubeObject) -> KubeObject:
        """The object itself; of several that were rendered from one source, the first, whichever of them has a fault."""
        return obj if obj.trace is None else self._first.get(obj.trace.source, obj)

    def fingerprint(self, control: str, obj: KubeObject, container: str | None, discriminator: str | None) -> str:
        known = self.object(obj)
        place = self._place(known) if self._in_run[known.ref.identity] > 1 else None
        return fingerprint(control, known.ref, container, discriminator, place=place)

    def _place(self, obj: KubeObject) -> str:
        """The file; with its position there where it holds two objects of one identity."""
        path = self._known_path(obj.origin.path)
        if self._in_file[obj.ref.identity, obj.origin.path] > 1:
            return f"{path}#{obj.origin.document}.{obj.origin.item or 0}"
        return path
