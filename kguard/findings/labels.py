"""Labels: a file in which somebody says of places in manifests that they have a fault, or have it not. docs/coverage.md has the format."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kguard.errors import UsageError
from kguard.model import ObjectRef
from kguard.text import one_line

_COMPLETE = "# complete"
_HEADS = "path, expected, and either control or tool and rule; object and container as well, if you like"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One line of a file of labels."""

    path: str
    """As it is written."""
    object: str = ""
    """`Deployment shop/web`, or without the namespace; "" for any of the file."""
    container: str = ""
    """"" for any."""
    name: str
    """A control, or a rule as `tool:RULE`."""
    fault: bool
    """Whether there is one."""

    def means(self, ref: ObjectRef) -> bool:
        return self.object in ("", str(ref), f"{ref.kind} {ref.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    file: str
    complete: bool
    """Whether it has every fault of the controls that it names."""
    labels: tuple[Label, ...]


def read_labels(text: str, file: str) -> Labels:
    """A table with tabs or commas. A label that is there twice counts once. Raises UsageError with file, line and what is wrong."""
    lines = [(number, line) for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1) if line.strip()]
    notes = {line.strip().lower() for _, line in lines if line.startswith("#")}
    rows = [(number, line) for number, line in lines if not line.startswith("#")]
    if len(rows) < 2:
        raise UsageError(f"{file}: there is no label in it. The first line names the columns: {_HEADS}.")
    labels: dict[Label, int] = {}
    for number, row in _rows(rows, file):
        label = _label(row, f"{file}:{number}")
        if (other := labels.get(replace(label, fault=not label.fault))) is not None:
            raise UsageError(f"{file}:{number}: it says the contrary of line {other}; leave out one of them.")
        labels.setdefault(label, number)
    return Labels(file=file, complete=_COMPLETE in notes, labels=tuple(labels))


def _rows(rows: list[tuple[int, str]], file: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    number, head = rows[0]
    delimiter = "\t" if "\t" in head else ","
    names = _cells(head, delimiter, f"{file}:{number}")
    if not {"path", "expected"} <= set(names) or not {"control", "rule", "rule_id"} & set(names):
        raise UsageError(f"{file}:{number}: the first line names the columns: {_HEADS}.")
    if twice := {name for name in names if name and names.count(name) > 1}:
        raise UsageError(f"{file}:{number}: two columns have the name {one_line(min(twice))!r}.")
    for number, line in rows[1:]:
        cells = _cells(line, delimiter, f"{file}:{number}")
        if len(cells) > len(names):
            raise UsageError(f"{file}:{number}: {len(cells)} cells for {len(names)} columns.")
        yield number, {name: cell for name, cell in zip(names, cells, strict=False) if cell not in ("", "-")}


def _cells(line: str, delimiter: str, where: str) -> list[str]:
    """A label is one line: a quoted cell does not go on in the next."""
    try:
        (row,) = csv.reader((line,), delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise UsageError(f"{where}: it cannot be read as a line of a table: {error}.") from error
    return [cell.strip() for cell in row]


def _label(row: Mapping[str, str], where: str) -> Label:
    expected, rule = row.get("expected", ""), row.get("rule", row.get("rule_id", ""))
    if expected not in ("fail", "pass"):
        raise UsageError(f"{where}: expected is {one_line(expected)!r}; it may be fail or pass.")
    name = row.get("control") or (f"{row['tool']}:{rule}" if rule and "tool" in row else rule)
    if not name or "path" not in row:
        raise UsageError(f"{where}: a label needs a path, and a control or a tool and its rule.")
    return Label(
        path=row["path"],
        object=row.get("object", ""),
        container=row.get("container", ""),
        name=name,
        fault=expected == "fail",
    )
