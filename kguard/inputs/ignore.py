"""What the walk leaves out, and why: git's ignore files, `.kguardignore`, `--exclude`, and hidden names.

Patterns are gitignore's. The library `pathspec` translates the names between their slashes; the rest is done here, because the library
answers for files, by whole lists, where a walk asks about this very folder, and because its expressions take exponential time on
`*a*a*a*a*b`. No git process is started: a repository's configuration can name programs.

Where we differ from git, on purpose or not:
- a tracked file that a pattern matches is left out (git's index is not read), and the user's own `core.excludesFile` is not read, so that
  a scan finds the same on every machine;
- `?` and brackets stand for a character, not for a byte;
- inside brackets a backslash and `[:digit:]` are plain characters, and a bracket never reaches over a slash; `\\/` matches nothing;
- `a**/b` is `a*/b`, as git's manual says.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from kguard.errors import UsageError
from kguard.settings import Exclude
from kguard.text import one_line

KGUARDIGNORE = ".kguardignore"
MAX_BYTES = 1024 * 1024
MAX_PATTERNS = 5_000
MAX_PATTERN = 4096
"""Characters of one pattern: no path is longer."""

_MANY = re.compile(r"\*\*+")
_NO_NAME = re.compile("(?!)")
_STAR = "[^/]*"
"""What the library makes of a star."""
_GIT_FOLDER = ".git"


def repository(folder: Path) -> Path | None:
    """The nearest folder with `.git`, upwards from `folder` (links resolved); None outside a repository."""
    real = Path(os.path.realpath(folder))
    return next((place for place in (real, *real.parents) if os.path.lexists(place / _GIT_FOLDER)), None)


def broken(pattern: str) -> str | None:
    """Why a pattern can match nothing; None for one that can, and for blanks and comments."""
    try:
        _pattern(pattern, 1)
    except _Broken as error:
        return str(error)
    return None


class Ignore:
    """The rules for one walk. Ignore files are read when their folder is first asked about."""

    def __init__(self, root: Path, *, exclude: Sequence[Exclude] = (), hidden: bool = False) -> None:
        """`hidden` brings back what is hidden or git-ignored. Raises UsageError for a broken pattern of `exclude`."""
        self._root = Path(os.path.realpath(root))
        self._prefix = os.path.abspath(root).rstrip("/") + "/"
        self._hidden = hidden
        self._exclude = tuple(_excludes(exclude, Path(self._prefix)))
        self._folders = {"": self._top()}

    def why_ignored(self, path: Path, is_folder: bool) -> str | None:
        """The reason to show; None for a path that the walk shall look at, and for the root itself. A path in an ignored folder is
        ignored like its folder.

        Raises UsageError, with file and line, for a `.kguardignore` that cannot be read, and for any ignore file beyond the limits.
        """
        text = os.path.abspath(path)
        if text + "/" == self._prefix:
            return None
        if not text.startswith(self._prefix):
            raise ValueError(f"{text!r} is not below the walk's root {self._prefix!r}")
        return self._reason(text[len(self._prefix) :], is_folder)

    def _reason(self, relative: str, is_folder: bool) -> str | None:
        parent, _, name = relative.rpartition("/")
        folder = self._folder(parent)
        if folder.reason is not None:
            return folder.reason
        names = relative.split("/")
        # what --hidden does not bring back comes first, so that the reason never promises that it does
        if name == _GIT_FOLDER:
            return "git's own data"
        if pattern := _decisive(self._exclude, names, is_folder):
            return f"excluded by {pattern.source} '{one_line(pattern.text)}'"
        if pattern := _decisive(folder.own, names, is_folder):
            return f"{pattern.source}:{pattern.line}"
        if self._hidden:
            return None
        if pattern := _decisive(folder.git or (), names, is_folder):
            return f"git-ignored ({pattern.source}:{pattern.line})"
        return "hidden" if name.startswith(".") else None

    def _folder(self, relative: str) -> _Folder:
        if relative not in self._folders:
            reason = self._reason(relative, True)
            above = self._folders[relative.rpartition("/")[0]]
            here = _Base(skip=relative.count("/") + 1)
            self._folders[relative] = (
                _Folder(reason=reason) if reason is not None else _below(above, self._root / relative, here)
            )
        return self._folders[relative]

    def _top(self) -> _Folder:
        """The rules that hold in the root: those of the folders above it too, up to the repository's root."""
        top = repository(self._root) or self._root
        inside = self._root.relative_to(top).parts
        found = _Folder()
        for number in range(len(inside) + 1):
            found = _below(found, top.joinpath(*inside[:number]), _Base(lead=inside[number:]))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """What holds for the entries of a folder."""

    reason: str | None = None
    """Why the folder itself is ignored: then nothing in it is looked at."""
    git: tuple[_Rules, ...] | None = None
    """Outermost first; None outside a repository."""
    own: tuple[_Rules, ...] = ()


def _below(above: _Folder, folder: Path, base: _Base) -> _Folder:
    git = above.git
    if os.path.lexists(folder / _GIT_FOLDER):  # a repository inside a repository: the outer one's patterns end here
        git = _file(folder / _GIT_FOLDER / "info" / "exclude", base, strict=False)
    if git is not None:
        git += _file(folder / ".gitignore", base, strict=False)
    return _Folder(git=git, own=above.own + _file(folder / KGUARDIGNORE, base, strict=True))


# -- lists of patterns ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """Where the folder of a list of patterns stands, as seen from the walk's root."""

    lead: tuple[str, ...] = ()
    """Above the root: the names from there down to the root."""
    skip: int = 0
    """Below the root: how many folders deep."""
    inside: tuple[str, ...] = ()
    """Below the root: the folders, where paths outside them are asked about too."""


class _Rules:
    """The patterns of one file, or of one place that the user named; the last one that matches decides."""

    def __init__(self, patterns: Sequence[_Pattern], base: _Base) -> None:
        self._base = base
        self._by_name = tuple(reversed([pattern for pattern in patterns if pattern.name is not None]))
        self._by_path = tuple(reversed([pattern for pattern in patterns if pattern.name is None]))
        # nearly no name matches any pattern: one expression for all of them says so at once
        self._any_name = _regex("|".join(f"(?:{p.name.pattern})" for p in self._by_name if p.name) or "(?!)")

    def last(self, names: Sequence[str], is_folder: bool) -> _Pattern | None:
        """The last pattern that matches a path, given by its names below the walk's root."""
        base = self._base
        if len(names) <= base.skip or (base.inside and tuple(names[: base.skip]) != base.inside):
            return None
        found = None
        if self._any_name.fullmatch(names[-1]):
            found = next((p for p in self._by_name if p.applies(is_folder) and p.name_matches(names[-1])), None)
        below = [*base.lead, *names[base.skip :]] if self._by_path else ()
        for pattern in self._by_path:
            if found is not None and pattern.line < found.line:
                break
            if pattern.applies(is_folder) and _matches(pattern.segments, below):
                return pattern
        return found


def _decisive(rules: Sequence[_Rules], names: Sequence[str], is_folder: bool) -> _Pattern | None:
    """The pattern that leaves a path out: the last that matches it, in the innermost list that has one, unless it says `!`."""
    for group in reversed(rules):
        if pattern := group.last(names, is_folder):
            return None if pattern.negated else pattern
    return None


def _file(path: Path, base: _Base, *, strict: bool) -> tuple[_Rules, ...]:
    """The patterns of an ignore file; nothing where there is none. What git passes over in its own files, we do too (`strict` is for
    those of kguard)."""
    data = _read(path, strict=strict)
    if not data:
        return ()
    source = _shown(path)
    if len(data) > MAX_BYTES:
        raise UsageError(f"{source}: larger than {MAX_BYTES // 1024} KiB, the limit for an ignore file.")
    # file names that are not UTF-8 reach us the same way
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    patterns = tuple(_parsed(lines, source, strict=strict))
    if len(patterns) > MAX_PATTERNS:
        raise UsageError(f"{source}: more than {MAX_PATTERNS:,} patterns, the limit for an ignore file.")
    return (_Rules(patterns, base),) if patterns else ()


def _read(path: Path, *, strict: bool) -> bytes:
    """At most one byte more than the limit. git follows no link to an ignore file, and neither do we."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        if strict:
            what = "a link; links are not followed" if path.is_symlink() else f"cannot be read: {error.strerror}"
            raise UsageError(f"{_shown(path)}: {what}.") from error
        return b""
    with os.fdopen(handle, "rb") as file:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return file.read(MAX_BYTES + 1)
    if strict:
        raise UsageError(f"{_shown(path)}: not a regular file.")
    return b""


def _shown(path: Path) -> str:
    return one_line(os.fsencode(os.path.relpath(path)).decode("utf-8", "backslashreplace"))


def _parsed(lines: Iterable[str], source: str, *, strict: bool) -> Iterator[_Pattern]:
    for number, line in enumerate(lines, start=1):
        try:
            pattern = _pattern(line.removesuffix("\r"), number, source)
        except _Broken as error:
            if strict:
                raise UsageError(f"{source}:{number}: '{one_line(line[:100])}': {error}.") from error
            continue
        if pattern is not None:
            yield pattern


def _excludes(exclude: Sequence[Exclude], root: Path) -> Iterator[_Rules]:
    """One list for each pattern, since each may have a folder of its own."""
    for entry in exclude:
        try:
            pattern = _pattern(entry.pattern, 1, entry.source)
        except _Broken as error:
            raise UsageError(f"{entry.source} '{one_line(entry.pattern[:100])}': {error}.") from error
        base = _base(entry.folder, root)
        if pattern is not None and base is not None:
            yield _Rules([pattern], base)


def _base(folder: Path | None, root: Path) -> _Base | None:
    """None where the folder holds nothing of the walk."""
    top = Path(os.path.abspath(folder or Path.cwd()))
    if root.is_relative_to(top):
        return _Base(lead=root.relative_to(top).parts)
    if folder is None:
        return _Base()
    if top.is_relative_to(root):
        inside = top.relative_to(root).parts
        return _Base(skip=len(inside), inside=inside)
    return None


# -- one pattern ----------------------------------------------------------------------------------------------------------


class _Broken(Exception):
    """A pattern that can match nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """One line of a list."""

    source: str
    line: int
    text: str
    negated: bool
    only_folders: bool
    segments: tuple[re.Pattern[str] | None, ...]
    """One for each name from the list's folder down; None is `**`, any number of names."""

    @property
    def name(self) -> re.Pattern[str] | None:
        """What the last name must be like, where no other counts."""
        return self.segments[1] if len(self.segments) == 2 and self.segments[0] is None else None

    def applies(self, is_folder: bool) -> bool:
        return is_folder or not self.only_folders

    def name_matches(self, name: str) -> bool:
        return self.name is not None and self.name.fullmatch(name) is not None


def _pattern(line: str, number: int, source: str = "") -> _Pattern | None:
    """None for a blank line or a comment. Raises _Broken."""
    text = line.rstrip(" ")
    if len(text) < len(line) and (len(text) - len(text.rstrip("\\"))) % 2:
        text += " "  # a trailing space counts when it is escaped
    if not text or text.startswith("#"):
        return None
    if len(text) > MAX_PATTERN:
        raise _Broken(f"longer than {MAX_PATTERN:,} characters, the limit for a pattern")
    glob = text.removeprefix("!")
    only_folders = glob.endswith("/")
    glob = glob.removesuffix("/")
    names = glob.removeprefix("/").split("/") if "/" in glob else ["**", glob]
    segments = [None if _MANY.fullmatch(name) else _segment(name) for name in names]
    return _Pattern(
        source=source,
        line=number,
        text=text,
        negated=text.startswith("!"),
        only_folders=only_folders,
        segments=tuple(segments),
    )


def _matches(segments: Sequence[re.Pattern[str] | None], names: Sequence[str]) -> bool:
    """Whether the segments stand for the whole path. Each `**` takes as few names as it can: more can win nothing, so there is no way
    back further than the last one. At the end it needs one name: `a/**` is everything in `a`, not `a`."""
    segment = name = 0
    retry: tuple[int, int] | None = None
    while name < len(names):
        wanted = segments[segment] if segment < len(segments) else _NO_NAME
        if wanted is None:
            segment += 1
            retry = (segment, name)
        elif wanted.fullmatch(names[name]):
            segment, name = segment + 1, name + 1
        elif retry is not None:
            segment, name = retry[0], retry[1] + 1
            retry = (segment, name)
        else:
            return False
    return segment == len(segments)


_END = (GitIgnoreSpecPattern.pattern_to_regex("/x/")[0] or "").removeprefix("^x")
"""What the library puts behind the expression of a folder's name."""


@lru_cache(maxsize=4096)
def _segment(glob: str) -> re.Pattern[str]:
    """The expression for one name. Raises _Broken."""
    if not glob:
        raise _Broken("an empty name between its slashes, or no name at all")
    try:
        expression, _ = GitIgnoreSpecPattern.pattern_to_regex(f"/{glob}/")
        if expression is None:
            raise _Broken("a bracket that is not closed")
        return _regex(_atomic(expression.removeprefix("^").removesuffix(_END)))
    except re.error as error:
        raise _Broken(error.msg) from error
    except ValueError as error:
        raise _Broken("a backslash at the end, which escapes nothing") from error


def _atomic(expression: str) -> str:
    """The expression in linear time: once the text behind a star has matched, to match it further on can win nothing."""
    first, *rest = expression.split(_STAR)
    if rest:
        rest[-1] += r"\Z"
    return first + "".join(f"(?>{_STAR}?{text})" for text in rest)


def _regex(expression: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # `[[` will mean something else one day
        return re.compile(expression)
