"""Six tools compared on real-world manifests: docs/six-tools.md.

`python tests/sixtools.py FOLDER...` compares all tools over each folder as a user would, as shipped and with every rule on, and prints
the shares side by side, and kguard's own comparison of each folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]
PROFILES = ("default", "all")
SHOWN = ("What each tool found", "What you lose", "The fewest tools", "Who finds the same", "Who finds what")
"""The sections of the comparison that the page has, by the beginnings of their titles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What `kguard coverage` says of a folder."""

    folder: str
    data: Mapping[str, Json]
    """kguard/coverage/v1, by profile."""
    text: str
    """In Markdown, as shipped."""


def compared(folder: str) -> Compared:
    with tempfile.TemporaryDirectory(prefix="kguard-six-") as name:
        for profile in PROFILES:
            argv = ("coverage", folder, "--tools", "+checkov,+kube-score", "--profile", profile, "-q")
            files = (f"{name}/{profile}.json", f"{name}/{profile}.md")
            command = [str(Path(sys.executable).parent / "kguard"), *argv, "-o", files[0], "-o", files[1]]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode not in (0, 4):
                raise SystemExit(f"{' '.join(command)}: {done.stderr}")
        data = {profile: json.loads(Path(f"{name}/{profile}.json").read_bytes()) for profile in PROFILES}
        return Compared(folder=folder, data=data, text=Path(f"{name}/default.md").read_text(encoding="utf-8"))


def page(folders: Sequence[Compared]) -> Iterator[str]:
    tools = folders[0].data["default"]["tools"]
    versions = ", ".join(f"{tool['name']} {tool['version']}" for tool in tools)
    yield "# Six tools on three real sets of manifests\n\n"
    yield f"Made by `make sixtools` on {datetime.now(UTC):%Y-%m-%d} with {versions}.\n"
    yield "What the words mean, and how the figures are checked, stands in [coverage.md](coverage.md). A fault is what any of the six found: what\n"
    yield "none of them finds is not in these figures, and a tool is not better for finding more.\n\n"
    yield "## Share of all faults that each tool found\n\n"
    yield from shares(folders)
    yield "\n*all rules*: profile `all`. The number behind the slash is of faults that no other tool found.\n\n"
    for one in folders:
        yield f"## {one.folder}\n\n"
        yield from sections(one.text)


def shares(folders: Sequence[Compared]) -> Iterator[str]:
    columns = [(one, profile) for one in folders for profile in PROFILES]
    names = (f"{one.folder}{', all rules' if profile == 'all' else ''}" for one, profile in columns)
    yield f"| tool | {' | '.join(names)} |\n|---|{'--:|' * len(columns)}\n"
    for number, tool in enumerate(columns[0][0].data["default"]["tools"]):
        cells = (one.data[profile]["tools"][number] for one, profile in columns)
        words = (f"{cell['share']:.0%} / {cell['alone']}" for cell in cells)
        yield f"| {tool['name']} | {' | '.join(words)} |\n"
    yield f"| *faults* | {' | '.join(str(one.data[profile]['faults']) for one, profile in columns)} |\n"


def sections(text: str) -> Iterator[str]:
    """The first line of kguard's Markdown, and its sections that are shown."""
    head, *rest = text.split("\n**")
    shown = [section for section in rest if section.startswith(SHOWN)]
    if len(shown) != len(SHOWN):
        raise SystemExit(f"kguard's Markdown has {len(shown)} of the {len(SHOWN)} sections: {', '.join(SHOWN)}")
    yield head.removeprefix("### kguard coverage&#58; ").strip() + "\n\n"
    for section in shown:
        title, _, body = section.partition("**")
        yield f"### {title}\n\n{body.strip()}\n\n"


if __name__ == "__main__":
    sys.stdout.writelines(page([compared(folder) for folder in sys.argv[1:]]))
