"""What helm printed, taken apart: objects, each with the way back to the files of its chart."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kguard.inputs.helm.chart import CHART_FILE
from kguard.inputs.helm.gotemplate import TemplateFile
from kguard.inputs.helm.instances import Instance
from kguard.inputs.helm.templates import Templates
from kguard.inputs.helm.trace import OTHER_BREAKS, FileTrace, Made, Rendered, TemplateTrace
from kguard.inputs.helm.values import Values
from kguard.inputs.nodes import Unreadable
from kguard.inputs.objects import MAX_DOCUMENTS, read_manifest
from kguard.inputs.render import NotRendered
from kguard.model import KubeObject, Span, Trace

_HEADER = re.compile(rb"^---\n# Source: ([^\n]+)\n", re.MULTILINE)
_SKIPPED = re.compile(r"\. (?:This document|The file) is skipped.*", re.DOTALL)


# -- the blocks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """What helm printed below one `# Source:` line."""

    name: str
    data: bytes
    verbatim: bool
    """A CRD's file as it is."""


def _blocks(printed: bytes, crds: Mapping[str, bytes]) -> Iterator[_Block]:
    """Helm cuts what templates print at every `---`, so that only CRDs, which it does not touch, can hold a line that looks like
    the start of a block: these are recognised by their bytes."""
    match = _HEADER.search(printed)
    if printed[: match.start() if match else None].strip():
        raise Unreadable("helm printed something else than rendered templates")
    while match:
        name = os.fsdecode(match[1])
        crd = crds.get(name, b"").removeprefix(b"\xef\xbb\xbf").rstrip()
        verbatim = bool(crd) and printed.startswith(crd, match.end())
        following = _HEADER.search(printed, match.end() + len(crd) if verbatim else match.end())
        end = following.start() if following else len(printed)
        yield _Block(name=name, data=printed[match.end() : end], verbatim=verbatim)
        match = following


# -- the files that they come from ----------------------------------------------------------------------------------------


class _Sources:
    """The templates and CRDs of a release, by the names that helm gives them."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.unsure = instances[0].path(CHART_FILE)
        """The path of what may come from one of several files."""
        self.archives = {instance.shown for instance in instances if instance.chart.inside}
        self.crds: dict[str, bytes] = {}
        self._paths: dict[str, set[str]] = {}
        """Two of one name where several versions of a subchart may be meant."""
        self.templates = [file for instance in instances for file in self._read(instance)]

    def path(self, name: str) -> str:
        """As reports show it."""
        paths = self._paths.get(name, ())
        return next(iter(paths)) if len(paths) == 1 else self.unsure

    def _read(self, instance: Instance) -> Iterator[TemplateFile]:
        """Its templates; its CRDs are put aside."""
        for name in (*instance.files.below("crds"), *instance.files.below("templates")):
            data = instance.files.read(name)
            if data is None:
                continue
            full, path = f"{instance.name}/{name}", instance.path(name)
            self._paths.setdefault(full, set()).add(path)
            if name.startswith("crds/"):
                self.crds[full] = data
                continue
            text = data.decode("utf-8-sig", "surrogateescape")
            lined = not instance.chart.inside
            yield TemplateFile(name=full, path=path, text=text, lined=lined, prefix=instance.prefix)


# -- the objects ----------------------------------------------------------------------------------------------------------


class Output:
    """The way from what helm printed for a release to objects, and from these to the files of its chart."""

    def __init__(
        self,
        *,
        bundle: str,
        chart: str,
        release: str,
        namespace: str | None,
        instances: Sequence[Instance],
        values: Values,
    ) -> None:
        """`chart`: its folder or archive, as reports show it. `release`, `namespace`: what it was rendered for. Raises Unreadable."""
        self._bundle = bundle
        self._chart = chart
        self._release, self._namespace = release, namespace
        self._files = _Sources(instances)
        self._templates = Templates(self._files.templates, values)
        self._documents: Counter[str] = Counter()
        """By path, the documents so far."""

    def objects(self, printed: bytes) -> Iterator[KubeObject]:
        """Raises Unreadable and NotRendered."""
        blocks = tuple(_blocks(printed, self._files.crds))
        if len(blocks) > MAX_DOCUMENTS:
            raise Unreadable(f"more than {MAX_DOCUMENTS:,} documents, the limit for one bundle")
        counts = Counter(block.name for block in blocks)
        for block in blocks:
            yield from self._of_block(block, alone=counts[block.name] == 1 and not self._templates.hooks)

    def _of_block(self, block: _Block, *, alone: bool) -> Iterator[KubeObject]:
        path = self._files.path(block.name)
        content = read_manifest(path, block.data, self._bundle)
        if content.problems:
            raise NotRendered(f"{path} renders to what is {_SKIPPED.sub('', content.problems[0].message)}")
        text = block.data.decode()
        blank = text[: len(text) - len(text.lstrip())].count("\n")
        rendered = Rendered(text=text.strip(), line=1 + blank, alone=alone)
        before = self._documents[path]
        for obj in content.objects:
            yield replace(
                obj,
                origin=replace(obj.origin, document=before + obj.origin.document, span=Span(1, 1)),
                text_line=None,
                item_spans=None,
                trace=self._trace(block, obj, rendered),
            )
        self._documents[path] += max([1, *(obj.origin.document for obj in content.objects)])

    def _trace(self, block: _Block, obj: KubeObject, rendered: Rendered) -> Trace:
        """Lines of an object are counted in its own text, those of an item of a List in the block."""
        before = 0 if obj.text_line is None else obj.text_line - 1
        path = self._files.path(block.name)
        made = Made(source=self._source(block.name, obj), spans=obj.item_spans)
        if block.name in self._files.crds or path == self._files.unsure:
            lined = block.verbatim and path not in self._files.archives and not OTHER_BREAKS.search(block.data.decode())
            return FileTrace(made, path, before if lined else None)
        return TemplateTrace(made, self._templates, block.name, replace(rendered, line=rendered.line - before))

    def _source(self, name: str, obj: KubeObject) -> Hashable:
        """The same for every set of values, whatever the release is called and wherever it goes."""
        namespace = None if obj.ref.namespace == self._namespace else obj.ref.namespace
        own_name = obj.ref.name.removeprefix(self._release)
        return (self._chart, name, obj.ref.group, obj.ref.kind, namespace, own_name)
