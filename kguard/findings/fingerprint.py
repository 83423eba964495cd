"""Fingerprints: names of findings that survive edits, new tools and new severities."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable

from kguard.model import KubeObject, ObjectRef


def fingerprint(
    control: str, ref: ObjectRef, container: str | None, discriminator: str | None, *, origin_path: str | None = None
) -> str:
    """16 hex digits of what makes a finding itself, and `-` and 8 of its file's path where another object has its identity."""
    key = json.dumps([control, *ref.identity, container, discriminator], ensure_ascii=False)
    own = hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    if origin_path is None:
        return own
    return f"{own}-{hashlib.sha256(origin_path.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"


class Identities:
    """By which object's identity each finding is known, and which identities more than one object has."""

    def __init__(self, objects: Iterable[KubeObject]) -> None:
        self._first: dict[Hashable, KubeObject] = {}
        for obj in sorted((obj for obj in objects if obj.trace is not None), key=lambda obj: obj.key):
            assert obj.trace is not None  # noqa: S101 - for the type checker
            self._first.setdefault(obj.trace.source, obj)
        counts = Counter(obj.ref.identity for obj in {self.object(obj).key: obj for obj in objects}.values())
        self._shared = frozenset(identity for identity, count in counts.items() if count > 1)

    def object(self, obj: KubeObject) -> KubeObject:
        """The object itself; of several that were rendered from one source, the first, whichever of them has a fault."""
        return obj if obj.trace is None else self._first.get(obj.trace.source, obj)

    def fingerprint(self, control: str, obj: KubeObject, container: str | None, discriminator: str | None) -> str:
        known = self.object(obj)
        shared = known.ref.identity in self._shared
        return fingerprint(
            control, known.ref, container, discriminator, origin_path=known.origin.path if shared else None
        )
