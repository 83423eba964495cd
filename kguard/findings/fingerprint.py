"""Fingerprints: names of findings that survive edits, new tools and new severities."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable

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


def colliding(objects: Iterable[KubeObject]) -> frozenset[tuple[str, str, str, str]]:
    """Identities that more than one object of the run has."""
    counts = Counter(obj.ref.identity for obj in objects)
    return frozenset(identity for identity, count in counts.items() if count > 1)
