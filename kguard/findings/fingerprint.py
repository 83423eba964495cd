"""Fingerprints: names of findings that survive edits, new tools and new severities."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

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


def one_in_each_bundle(objects: Iterable[KubeObject]) -> Mapping[Hashable, Sequence[KubeObject]]:
    """The rendered objects by what they were made of, where each bundle has one of it: of a source that one bundle renders twice,
    nobody can tell which of them is another bundle's."""
    found: defaultdict[Hashable, list[KubeObject]] = defaultdict(list)
    for obj in objects:
        if obj.trace is not None:
            found[obj.trace.source].append(obj)
    return {source: own for source, own in found.items() if len({obj.bundle for obj in own}) == len(own)}


class Identities:
    """By which object's identity each finding is known, and which identities more than one object has."""

    def __init__(self, objects: Iterable[KubeObject], known_path: Callable[[str], str] = str) -> None:
        """`known_path`: what fingerprints call a file that reports call so."""
        self._known_path = known_path
        self._first = {source: min(own, key=lambda obj: obj.key) for source, own in one_in_each_bundle(objects).items()}
        known = {self.object(obj).key: self.object(obj) for obj in objects}.values()
        self._in_run = Counter(self._ref(obj).identity for obj in known)
        self._in_file = Counter((self._ref(obj).identity, known_path(obj.origin.path)) for obj in known)

    def object(self, obj: KubeObject) -> KubeObject:
        """The object itself; of several that were rendered from one source, the first, whichever of them has a fault."""
        return obj if obj.trace is None else self._first.get(obj.trace.source, obj)

    def _ref(self, obj: KubeObject) -> ObjectRef:
        """What the source calls it, so that neither a new overlay nor a new hash in its name changes what it is known by."""
        own = obj.trace.own_ref if obj.trace is not None and obj.trace.source in self._first else None
        return own or obj.ref

    def fingerprint(self, control: str, obj: KubeObject, container: str | None, discriminator: str | None) -> str:
        known = self.object(obj)
        ref = self._ref(known)
        place = self._place(known, ref) if self._in_run[ref.identity] > 1 else None
        return fingerprint(control, ref, container, discriminator, place=place)

    def _place(self, obj: KubeObject, ref: ObjectRef) -> str:
        """The file; with its position there where it holds two objects of one identity."""
        path = self._known_path(obj.origin.path)
        if self._in_file[ref.identity, path] > 1:
            return f"{path}#{obj.origin.document}.{obj.origin.item or 0}"
        return path
