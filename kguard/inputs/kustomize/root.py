"""A root kustomization rendered: the process that does it, and its output as objects that know where they come from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from kguard.inputs.hush import hushed
from kguard.inputs.kustomize.files import RootFiles
from kguard.inputs.kustomize.graph import RootGraph, root_graph
from kguard.inputs.kustomize.kustomization import NAMES, is_url
from kguard.inputs.kustomize.layers import location
from kguard.inputs.kustomize.trace import trace_of, unknown
from kguard.inputs.nodes import Unreadable
from kguard.inputs.objects import read_manifest
from kguard.inputs.reading import as_mapping, parse
from kguard.inputs.render import NotRendered
from kguard.model import BundleKind, Command, KubeObject, Location, Outcome, Span
from kguard.text import one_line

_ORIGIN = "config.kubernetes.io/origin"
_CHANGES = "alpha.config.kubernetes.io/transformations"
_LONGEST_MESSAGE = 500

# nothing on PATH that could be started, and no way to the network, should the walk have missed something
_CLOSED = {
    "PATH": "",
    "GIT_ALLOW_PROTOCOL": "none",
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:0"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
}
_OPEN = {"GIT_ALLOW_PROTOCOL": "https:ssh", "GIT_TERMINAL_PROMPT": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A kustomization that no other refers to. Satisfies `kguard.inputs.render.Render`."""

    folder: Path
    path: str
    bundle: str
    name: str
    namespace: str | None = None
    """Given to every object as `namespace:` of one more overlay would."""
    allow_remote: frozenset[str] = frozenset()
    """Beginnings of remote references that may be fetched. What a fetched base itself refers to is not looked at before."""

    @property
    def kind(self) -> BundleKind:
        return BundleKind.KUSTOMIZE

    @property
    def programs(self) -> tuple[str, ...]:
        return ("kustomize", "kubectl")

    def command(self, program: str, work: Path) -> Command:
        """The process that builds the root through a wrapper in `work`, which asks for origins and leaves the user's folder as it is."""
        graph = self._graph(self._files())
        here, folder = os.path.realpath(work), os.path.realpath(self.folder)
        if Path(here).is_relative_to(folder):
            raise NotRendered(f"{self.path} holds kguard's own temporary folder; set TMPDIR to another place")
        wrapper = self._wrapper(os.path.relpath(folder, here), graph)
        try:
            content = json.dumps(wrapper, ensure_ascii=False).encode()  # JSON is YAML
        except UnicodeEncodeError as error:
            raise NotRendered(f"the name of {one_line(self.path)} is not UTF-8; rename the folder") from error
        return Command(
            argv=("kubectl", "kustomize", ".") if program == "kubectl" else ("kustomize", "build", "."),
            env={"PWD": here, **(_OPEN if graph.remote else _CLOSED)},
            files={NAMES[0]: content},
        )

    def _wrapper(self, resource: str, graph: RootGraph) -> Mapping[str, object]:
        metadata = ["originAnnotations", "transformerAnnotations", *(["managedByLabel"] if graph.managed else [])]
        namespace = {} if self.namespace is None else {"namespace": self.namespace}
        return {"resources": [resource], "buildMetadata": metadata, **namespace}

    def objects(self, outcome: Outcome) -> tuple[KubeObject, ...]:
        program = outcome.command.argv[0]
        if outcome.failure is not None or outcome.exit_code != 0:
            raise NotRendered(self._failure(program, outcome))
        content = read_manifest(self.path, outcome.stdout, self.bundle)
        for problem in content.problems:
            raise NotRendered(f"what {program} printed cannot be read: {problem.message}")
        files = self._files()
        graph = self._graph(files)
        work = Path(outcome.command.env["PWD"])
        return tuple(
            _led_back(replace(obj, staged=f"tree/rendered--{number}.yaml"), graph, files, work)
            for number, obj in enumerate(content.objects, start=1)
        )

    def _files(self) -> RootFiles:
        return RootFiles(self.folder, self.bundle)

    def _graph(self, files: RootFiles) -> RootGraph:
        return root_graph(Path(os.path.realpath(self.folder)), files.shown, self.allow_remote)

    def _beside(self) -> Iterator[Path]:
        """The files that the kustomizations of this root are made of."""
        graph = self._graph(self._files())
        for folder in sorted({path.parent for path in graph.chains}):
            yield from (path for path in sorted(folder.iterdir()) if path.suffix in (".yaml", ".yml", ".json"))
            yield from (folder / name for name in ("Kustomization",) if (folder / name).is_file())

    def _failure(self, program: str, outcome: Outcome) -> str:
        """The renderer's own last error, without kguard's folders."""
        if outcome.failure is not None:
            return outcome.reason or f"{program} failed"
        error = outcome.stderr.decode("utf-8", "replace").strip()
        if "buildMetadata" in error:
            return f"this {program} is too old to tell where objects come from; install kustomize 4.5 or newer"
        starts = [found.start() for found in re.finditer(r"^error:", error, re.MULTILINE | re.IGNORECASE)]
        work, folder = outcome.command.env["PWD"], os.path.realpath(self.folder)
        text = error[starts[-1] :] if starts else error.rpartition("\n")[2]
        for own, shown in ((os.path.relpath(folder, work), self.path), (folder, self.path), (work, "kguard's wrapper")):
            text = text.replace(own, shown)
        # behind these words kustomize prints the manifest itself, the values of Secrets too
        text = re.split(r"(?i)\s+(?:with config:|from \[|object:)", text, maxsplit=1)[0]
        text = hushed(" ".join(text.replace(os.getcwd() + os.sep, "").split()), self._beside())
        text = one_line(text)
        if len(text) > _LONGEST_MESSAGE:
            half = _LONGEST_MESSAGE // 2 - 2
            text = f"{text[:half]} ... {text[-half:]}"
        return f"{program}: {text}" if text else f"{program} ended with exit code {outcome.exit_code} and no message"


def _led_back(obj: KubeObject, graph: RootGraph, files: RootFiles, work: Path) -> KubeObject:
    """A rendered object without kustomize's notes, and with the way back that they tell."""
    text, note = without_notes(obj.text.decode())
    bare = replace(obj, text=text.encode(), text_line=None, item_spans=None)
    path, repository = _origin(note)
    if repository or is_url(path):
        trace = unknown(bare, _remote_entry(repository or path, graph), files)
    else:
        file = Path(os.path.normpath(work / path)) if path else None
        trace = trace_of(bare, file, graph.chains, files, location(graph.top))
    return replace(bare, origin=trace.origin, trace=trace)


def _remote_entry(name: str, graph: RootGraph) -> Location:
    """The entry that brought something from the network; the root's file where none names it."""
    for layer, reference in graph.remote:
        if name in reference.text:
            return location(layer.path, Span(reference.line, reference.line))
    return location(graph.top)


# -- kustomize's notes on its output --------------------------------------------------------------------------------------

# kustomize prints its output anew, so `metadata` and its fields always stand at these columns, and no text can: texts are indented deeper
_ANNOTATIONS = re.compile(
    r"^metadata:\n(?:  .*\n|\n)*?(?P<all>  annotations:\n(?P<body>(?:    .*\n|\n)*))", re.MULTILINE
)
_NOTE = re.compile(
    rf"^    (?P<key>{re.escape(_ORIGIN)}|{re.escape(_CHANGES)}):(?P<note>.*\n(?:     .*\n|\n)*)", re.MULTILINE
)


def without_notes(text: str) -> tuple[str, str]:
    """A rendered document without the annotations that kguard asked for, nothing else of it changed, and its origin's text."""
    found = _ANNOTATIONS.search(text)
    if found is None:
        return text, ""
    origin = next((note["note"] for note in _NOTE.finditer(found["body"]) if note["key"] == _ORIGIN), "")
    kept = _NOTE.sub("", found["body"])
    return text[: found.start("all" if not kept else "body")] + kept + text[found.end("all") :], origin


@lru_cache(maxsize=4096)
def _origin(note: str) -> tuple[str, str]:
    """(path, repository) of an origin annotation: the resource's file, or the kustomization of what generated it."""
    try:
        # a text in YAML, which is YAML
        annotation = next(parse(f"note:{note}")).value["note"]
        fields = as_mapping(next(parse(annotation)).value)
    except (Unreadable, StopIteration, TypeError, AttributeError):
        return "", ""
    return str(fields.get("path") or fields.get("configuredIn") or ""), str(fields.get("repo") or "")
