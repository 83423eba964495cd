"""The kustomizations that a root is made of, followed before kustomize does, so that nothing is fetched and no program is started."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kguard.inputs.kustomize.files import Chains
from kguard.inputs.kustomize.kustomization import (
    NAMES,
    Kustomization,
    Reference,
    Use,
    kustomization_in,
    read_kustomization,
)
from kguard.inputs.kustomize.layers import Chain, Layer, Shown, layers_of
from kguard.inputs.nodes import Unreadable
from kguard.inputs.reading import as_list
from kguard.inputs.render import NotRendered
from kguard.text import one_line

MAX_KUSTOMIZATIONS = 2_000
"""Kustomizations of one root, each counted as often as it is referred to: where a graph that doubles at every level stops."""
MAX_DEPTH = 100
"""Kustomizations between a root and the innermost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootGraph:
    """The kustomizations of a root, and through which of them each file's objects pass."""

    top: str
    """The root's own file, as reports show it."""
    chains: Chains
    remote: tuple[tuple[Layer, Reference], ...]
    managed: bool
    """Whether the root asks for the label that names kustomize, which only the outermost kustomization can."""


def root_graph(folder: Path, shown: Shown, allow_remote: Iterable[str]) -> RootGraph:
    """Follow every reference of a root. `folder`: absolute, links resolved. `allow_remote`: beginnings of what may be fetched.

    Raises NotRendered for a root that must not be rendered, or cannot.
    """
    walk = _Walk(shown, allow_remote)
    walk.visit(folder, folder, (), ())
    top, _ = walk.read(folder)
    return RootGraph(
        top=shown(top.path),
        chains=walk.chains,
        remote=tuple(walk.remote),
        managed="managedByLabel" in as_list(top.value.get("buildMetadata")),
    )


class _Walk:
    """What was found on the way through a root's kustomizations."""

    def __init__(self, shown: Shown, allow_remote: Iterable[str]) -> None:
        self.chains: dict[Path, list[Chain]] = {}
        self.remote: list[tuple[Layer, Reference]] = []
        self._shown, self._allow = shown, allow_remote
        self._known: dict[Path, tuple[Kustomization, Chain]] = {}
        self._visited = 0

    def visit(self, folder: Path, spelled: Path, outer: Chain, above: tuple[Path, ...]) -> Chain:
        """Collect a kustomization and what is below it; the layers that it adds to what its parent has so far.

        `spelled`: the folder as kustomize's origins spell it. `outer`: the layers that come after it, innermost first. `above`: the
        folders of the kustomizations around it.
        """
        self._count(len(above))
        kustomization, own = self.read(folder)
        self.remote += [(own[0], reference) for reference in kustomization.remote]
        folders = [reference for reference in kustomization.references if reference.use is Use.BASE]
        # a component acts on what its parent has so far, so the last one is the next to act
        for reference in reversed(folders):
            if reference.field == "components":
                own = self._follow(kustomization, reference, spelled, (*own, *outer), above) + own
        through = (*own, *outer)
        for reference in folders:
            if reference.field != "components":
                # generators' and transformers' folders hold no objects, but what they refer to must be known
                self._follow(kustomization, reference, spelled, through, above)
        for reference in kustomization.references:
            if reference.use is Use.FILE and reference.field in ("resources", "bases"):
                self._add(spelled / reference.text, through)
        self._add(spelled / kustomization.path.name, through)
        return own

    def _count(self, depth: int) -> None:
        self._visited += 1
        if self._visited > MAX_KUSTOMIZATIONS or depth > MAX_DEPTH:
            limit = f"{MAX_KUSTOMIZATIONS:,}, or are nested deeper than {MAX_DEPTH}"
            raise NotRendered(f"the kustomizations that it refers to are more than {limit}, the limits of kguard")

    def _add(self, path: Path, chain: Chain) -> None:
        self.chains.setdefault(Path(os.path.normpath(path)), []).append(chain)

    def _follow(
        self, parent: Kustomization, reference: Reference, spelled: Path, outer: Chain, above: tuple[Path, ...]
    ) -> Chain:
        assert reference.path is not None  # noqa: S101 - a BASE is a folder here
        where = self._where(parent, reference)
        above = (*above, parent.folder)
        if any(folder.is_relative_to(reference.path) for folder in above):
            raise NotRendered(
                f"{where}: {one_line(reference.text)!r} leads back to a folder that holds this kustomization, "
                "a cycle; take the entry out"
            )
        if kustomization_in(reference.path) is None:
            raise NotRendered(
                f"{where}: the folder {one_line(reference.text)!r} has no kustomization.yaml; "
                "add one, or name the files in it"
            )
        return self.visit(reference.path, Path(os.path.normpath(spelled / reference.text)), outer, above)

    def read(self, folder: Path) -> tuple[Kustomization, Chain]:
        """The kustomization in a folder, and its layers: the same each time."""
        if folder not in self._known:
            kustomization = self._kustomization(kustomization_in(folder) or folder / NAMES[0])
            self._refuse(kustomization)
            self._known[folder] = kustomization, layers_of(kustomization, self._shown)
        return self._known[folder]

    def _kustomization(self, path: Path) -> Kustomization:
        try:
            kustomization = read_kustomization(path)
        except Unreadable as error:
            line = f", line {error.line}" if error.line else ""
            raise NotRendered(f"{self._shown(path)}{line}: {error}") from error
        if kustomization is None:
            raise NotRendered(f"{self._shown(path)}: belongs to another product than kustomize")
        return kustomization

    def _refuse(self, kustomization: Kustomization) -> None:
        """Raise NotRendered for what would start a program or be fetched, and for what is not there."""
        for reference in kustomization.execs:
            raise NotRendered(
                f"{self._where(kustomization, reference)}: {reference.field} would start a program "
                f"({one_line(reference.text)}), and kguard starts none for a kustomization; scan its output instead"
            )
        for reference in kustomization.remote:
            if not any(_begins(reference.text, name) for name in self._allow):
                raise NotRendered(
                    f"{self._where(kustomization, reference)}: {one_line(reference.text)} is on the network, and "
                    "kguard fetches nothing unless it is allowed by name (inputs.kustomizations[].allow-remote in kguard.yaml), or keep a copy beside it"
                )
        for reference in kustomization.missing:
            raise NotRendered(
                f"{self._where(kustomization, reference)}: {one_line(reference.text)!r} ({reference.field}) "
                "does not exist; correct the path"
            )

    def _where(self, kustomization: Kustomization, reference: Reference) -> str:
        return f"{self._shown(kustomization.path)}, line {reference.line}"


def _begins(text: str, name: str) -> bool:
    """Whether an allowed name is the beginning of a reference, up to the end of a part of it: `x/acme` does not allow `x/acme-evil`."""
    if not name or not text.startswith(name):
        return False
    rest = text.removeprefix(name)
    if ".." in rest.partition("?")[0].split("/"):
        return False
    return name.endswith(("/", ":")) or re.match(r"(?:\.git)?(?:[/?]|$)", rest) is not None
