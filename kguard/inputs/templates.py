"""The way back from a document that helm rendered to the lines of the templates that it was made of.

A template describes a set of texts: its own characters in order, any text where an action prints, each branch taken or not, each loop
any number of times. A line of a rendered document is taken for a template's line only where every way to read the document as one of these
texts says so; likeness and line numbers prove nothing. What an action can print is narrowed where that is safe (`nindent 8` begins
each line with eight spaces, a value that has no line break prints none), and helpers are read in place, so their lines are found too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from kguard.inputs.objects import lookup
from kguard.model import FieldPath, Location, Precision, Span

MAX_POSITIONS = 30_000
"""Characters of a template with its helpers; a longer one is not read."""
MAX_WORK = 400_000_000
"""Characters of a template times those of a document: half a gigabit of memory, about a second."""
MAX_STEPS = 1_000_000
"""Steps to build the language of a template, or to read a document that has many readings."""
_MAX_TEXT = 1024 * 1024
_MAX_BLOCKS = 30
_MAX_CALLS = 5
_MAX_GROUPS = 10
_MAX_PAD = 64

Keys = tuple[str, ...]
"""A place in the data of a template: ("Values", "image", "tag"); `[]` for the elements of a list or mapping."""
_Line = tuple[str, int]
"""Path of a template and line in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFile:
    """A file below a chart's `templates/`."""

    name: str
    """As helm names it: `web/charts/db/templates/deployment.yaml`."""
    path: str
    """As reports show it."""
    text: str
    lined: bool
    """False inside an archive, where no line can be pointed at."""
    prefix: Keys
    """Where the values of its chart stand among those of the release: ("db",)."""


# -- templates, parsed ----------------------------------------------------------------------------------------------------


class _Unparsed(Exception):
    """A template that is not understood, so nothing is said about its lines."""


class _TooMuch(Exception):
    """A template or a document beyond what is worth its time."""


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class _Action:
    code: str
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class _Block:
    """`if`, `with` or `range`."""

    head: _Action
    body: tuple[_Node, ...]
    otherwise: tuple[_Node, ...]


_Node = _Text | _Action | _Block


@dataclass(frozen=True, slots=True)
class _Body:
    """What is executed as a whole: a template file or a `define`."""

    path: str
    nodes: tuple[_Node, ...]
    changing: frozenset[str]
    """Variables of its file that are set more than once."""


_ACTION = re.compile(
    r"""\{\{(?P<left>-(?=[ \t\r\n]))?
        (?P<code>\s*/\*.*?\*/\s*|(?:"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])*'|[^"`'])*?)
        (?P<right>(?<=[ \t\r\n])-)?\}\}""",
    re.DOTALL | re.VERBOSE,
)
_WORD = re.compile(r"[A-Za-z_]\w*")
_SET_AGAIN = re.compile(r"(\$\w+)(?:\s*,\s*(\$\w+))?\s*=(?!=)")
_SETTING = re.compile(r"(?:(\$\w+)\s*,\s*)?(\$\w+)\s*(:?=)(?!=)\s*(.*)", re.DOTALL)
_CHANGING = re.compile(r"\b(?:unset|merge\w*|mustMerge\w*)\b|\bset\b(?!\s*\((?:dict|deepCopy|mustDeepCopy)\b)")
"""Functions that change what they are given, which may be the chart's values; `set` changes nothing of what was made on the spot."""
_BLANK = " \t\r\n"
_OPENING = frozenset(("if", "with", "range", "define", "block"))


def _pieces(text: str) -> Iterator[_Text | _Action]:
    """Text and actions in order, with the blanks taken off that `{{-` and `-}}` take off."""
    at, line, trimmed = 0, 1, False
    while (start := text.find("{{", at)) >= 0:
        match = _ACTION.match(text, start)
        if match is None:
            raise _Unparsed
        yield from _plain(text[at:start], line, trimmed, bool(match["left"]))
        line += text.count("\n", at, start)
        code = match["code"].strip()
        end = line + match[0].count("\n")
        yield _Action("" if code.startswith("/*") else code, line, end)
        at, line, trimmed = match.end(), end, bool(match["right"])
    yield from _plain(text[at:], line, trimmed, False)


def _plain(text: str, line: int, left: bool, right: bool) -> Iterator[_Text]:
    if left:
        line += text[: len(text) - len(text.lstrip(_BLANK))].count("\n")
        text = text.lstrip(_BLANK)
    if right:
        text = text.rstrip(_BLANK)
    if text:
        yield _Text(text, line)


@dataclass(slots=True)
class _Open:
    """A block whose `end` has not come yet."""

    head: _Action
    chained: bool
    """Opened by `else if`: it shares the `end` of the block around it."""
    nodes: list[_Node] = field(default_factory=list)
    body: tuple[_Node, ...] | None = None
    """Set once `else` has come."""

    def add(self, node: _Node) -> None:
        self.nodes.append(node)


@dataclass(frozen=True, slots=True)
class _Parsed:
    body: _Body
    helpers: Mapping[str, Sequence[_Body]]
    pure: bool
    """No action changes the values."""


def _parse(file: TemplateFile) -> _Parsed:
    """A template and the helpers that it defines. Raises _Unparsed."""
    defines: dict[str, list[_Body]] = {}
    if len(file.text) > _MAX_TEXT:
        raise _Unparsed
    pieces = list(_pieces(file.text))
    codes = [piece.code for piece in pieces if isinstance(piece, _Action)]
    changing = frozenset(name for code in codes for names in _SET_AGAIN.findall(code) for name in names)
    stack = [_Open(_Action("", 1, 1), False)]
    for piece in pieces:
        if isinstance(piece, _Text):
            stack[-1].add(piece)
            continue
        word, rest = _first_word(piece.code)
        if word in _OPENING:
            stack.append(_Open(piece, False))
        elif word == "else":
            _turn(stack, replace(piece, code=rest))
        elif word == "end":
            if (helper := _close(stack)) is not None:
                defines.setdefault(helper[0], []).append(_Body(file.path, helper[1], changing))
        else:
            stack[-1].add(piece)
        if len(stack) > _MAX_BLOCKS:
            raise _Unparsed
    if len(stack) != 1:
        raise _Unparsed
    body = _Body(file.path, tuple(stack[0].nodes), changing)
    return _Parsed(body, defines, not any(_CHANGING.search(code) for code in codes))


def _turn(stack: list[_Open], rest: _Action) -> None:
    """`else`, or `else if ...`, which is a block of its own inside the `else`."""
    block = stack[-1]
    if block.body is not None or len(stack) == 1:
        raise _Unparsed
    block.body, block.nodes = tuple(block.nodes), []
    if rest.code:
        stack.append(_Open(rest, True))


def _close(stack: list[_Open]) -> tuple[str, tuple[_Node, ...]] | None:
    """`end`: the block goes into the one around it; a helper with its name is handed out."""
    chained = True
    while chained:
        if len(stack) == 1:
            raise _Unparsed
        block = stack.pop()
        chained = block.chained
        nodes = tuple(block.nodes)
        word, rest = _first_word(block.head.code)
        if word in ("define", "block"):
            if word == "block":
                stack[-1].add(replace(block.head, code=f"template {rest}"))
            return _defined(rest), nodes
        body, otherwise = (nodes, ()) if block.body is None else (block.body, nodes)
        stack[-1].add(_Block(block.head, body, otherwise))
    return None


def _first_word(code: str) -> tuple[str, str]:
    match = _WORD.match(code)
    return (match[0], code[match.end() :].strip()) if match else ("", code)


def _defined(rest: str) -> str:
    """The name that a `define` gives."""
    tokens = _tokens(rest)
    name = _literal(tokens[0]) if tokens else None
    if name is None:
        raise _Unparsed
    return name


# -- what an action reads and prints --------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`|'(?:\\.|[^'\\])*')
        |(?P<operand>\$\w*(?:\.\w+)*|(?:\.\w+)+|\.(?!\w))
        |(?P<number>[-+]?\d[\w.]*)
        |(?P<word>[A-Za-z_]\w*)
        |(?P<mark>:=|=|\||\(|\)(?:\.\w+)*|,))""",
    re.VERBOSE,
)
_ONE_LINE = frozenset(
    """quote int int64 float64 len toJson mustToJson toRawJson mustToRawJson sha1sum sha256sum sha512sum adler32sum b64enc b32enc
    not eq ne lt le gt ge contains hasPrefix hasSuffix hasKey has empty semverCompare kindIs typeIs randAlphaNum randAlpha randNumeric
    uuidv4 atoi floor ceil round""".split()  # noqa: SIM905 - a page of its own as a list
)
"""Functions whose result has no line break, whatever they are given."""
_HARMLESS = frozenset(
    """and or default coalesce ternary required squote trunc trim trimAll trimSuffix trimPrefix lower upper title untitle swapcase
    nospace substr replace print printf toString toStrings join first last rest initial list dict get index dig pick omit keys values
    pluck deepCopy mustDeepCopy camelcase snakecase kebabcase abbrev initials repeat cat split splitList add add1 sub mul div mod
    max min until untilStep seq date now ago duration regexReplaceAll regexFind base dir clean ext urlquery typeOf kindOf sortAlpha
    uniq without compact reverse concat append prepend semver slice html js""".split()  # noqa: SIM905
)
"""Functions whose result has a line break only where one of their operands has one."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the thing that an expression gives."""

    at: Keys | None
    """Its place in the template's data, () for all of it; None where it was made of several things."""
    keys: frozenset[str]
    """The keys of the chart's values that it is made of."""
    one_line: bool
    """No text in it holds a line break."""
    empty: bool = False
    """It is nothing: `if` and `with` pass over it."""


_UNKNOWN = _Known(None, frozenset(), False)
_CONSTANT = _Known(None, frozenset(), True)


@dataclass(frozen=True, slots=True)
class _Group:
    """An expression in parentheses, and the fields that are read of it."""

    commands: tuple[_Command, ...]
    fields: tuple[str, ...]


_Term = str | _Group
_Command = tuple[_Term, ...]


def _tokens(code: str) -> list[str] | None:
    """None for code that is not understood."""
    found: list[str] = []
    at = 0
    code = code.strip()
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None:
            return None
        found.append(match[match.lastgroup or 0])
        at = match.end()
    return found


def _literal(term: _Term) -> str | None:
    """The text of a string literal without escapes."""
    if isinstance(term, str) and term[:1] in ('"', "`") and "\\" not in term:
        return term[1:-1]
    return None


def _commands(tokens: Sequence[str]) -> tuple[_Command, ...] | None:
    """A pipeline: its commands, each a list of terms; None for one that is not understood."""
    levels: list[list[list[_Term]]] = [[[]]]
    for word in tokens:
        if word == "(":
            levels.append([[]])
            if len(levels) > _MAX_GROUPS:
                return None
        elif word[0] == ")":
            if len(levels) == 1:
                return None
            group = tuple(tuple(command) for command in levels.pop())
            levels[-1][-1].append(_Group(group, tuple(word.split(".")[1:])))
        elif word == "|":
            levels[-1].append([])
        elif word in (":=", "=", ","):
            return None
        else:
            levels[-1][-1].append(word)
    if len(levels) != 1 or not all(levels[0]):
        return None
    return tuple(tuple(command) for command in levels[0])


class Values:
    """The values that a release can see: all files and settings that they are merged from, each at its place."""

    def __init__(self, sources: Sequence[tuple[Keys, Any]], *, known: bool = True) -> None:
        """`known` is False where something may be among them that the sources do not show."""
        self._sources = tuple(sources)
        self._known = known
        self._globals = [found for _, source in sources for found in _found_globals(source)]
        self._answers: dict[tuple[Keys, Keys], bool] = {}

    def one_line(self, prefix: Keys, path: Keys) -> bool:
        """Whether no text at a chart's value, wherever it is set, holds a line break."""
        if (prefix, path) not in self._answers:
            self._answers[prefix, path] = self._known and not any(
                "\n" in text for found in self._at(prefix, path) for text in _texts(found)
            )
        return self._answers[prefix, path]

    def empty(self, prefix: Keys, path: Keys) -> bool:
        """Whether a chart's value is not set, or set to nothing, wherever it is set: `if` and `with` do not go in there."""
        if not path or not self._known:
            return False
        return not any(self._at(prefix, path))

    def templates(self, prefix: Keys, path: Keys) -> frozenset[str]:
        """The texts at a chart's value that are templates themselves."""
        return frozenset(text for found in self._at(prefix, path) for text in _texts(found) if "{{" in text)

    def change(self) -> bool:
        """Whether one of them is a template that may change others."""
        texts = (text for _, source in self._sources for text in _texts(source))
        return any("{{" in text and _CHANGING.search(text) for text in texts)

    def mention(self, pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(text) for _, source in self._sources for text in _texts(source))

    def _at(self, prefix: Keys, path: Keys) -> Iterator[Any]:
        full = (*prefix, *path)
        for mount, source in self._sources:
            if full[: len(mount)] == mount:
                yield from _lookup_all(source, full[len(mount) :])
            elif mount[: len(full)] == full:
                yield source
            if mount[: len(full)] == full:
                yield from self._globals  # helm hands global values down to each chart
        if "global" in path:
            for found in self._globals:
                yield from _lookup_all(found, path[path.index("global") + 1 :])


def _found_globals(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "global":
                yield child
            yield from _found_globals(child)


def _lookup_all(value: Any, path: Keys) -> Iterator[Any]:
    if not path:
        yield value
    elif path[0] == "[]":
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for child in children:
            yield from _lookup_all(child, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _lookup_all(value[path[0]], path[1:])


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, keys too."""
    match value:
        case dict():
            for key, child in value.items():
                yield key
                yield from _texts(child)
        case list():
            for child in value:
                yield from _texts(child)
        case str():
            yield value


@dataclass(frozen=True, slots=True)
class _Scope:
    """What names mean at a place of a template."""

    file: TemplateFile
    """The template that helm executes, wherever the place is."""
    dot: _Known
    variables: Mapping[str, _Known]
    depth: int
    """Helpers around."""

    def bound(self, name: str, known: _Known) -> _Scope:
        return replace(self, variables={**self.variables, name: known})


class Templates:
    """All templates of a release, each read once, when it is first asked for."""

    def __init__(self, files: Sequence[TemplateFile], values: Values) -> None:
        self._files = {file.name: file for file in files}
        self._bodies: dict[str, _Body] = {}
        self._helpers: dict[str, list[_Body]] = {}
        self._grammars: dict[str, _Grammar | None] = {}
        self._called: dict[tuple[str, _Known, Keys, int], tuple[bool, frozenset[str]]] = {}
        self._archives = {file.path for file in files if not file.lined}
        self._values = values
        self._unread: list[str] = []
        """The texts of templates that are not understood: they may define any helper."""
        self._pure = True
        for file in files:
            self._read(file)
        if self._unread or not self._pure or self._evaluates_unseen() or values.change():
            self._values = Values((), known=False)
        self.hooks = values.mention(_HOOK) or any(_HOOK.search(file.text) for file in files)
        """Whether helm may have left a document out: it drops hooks that it does not know."""

    def _read(self, file: TemplateFile) -> None:
        try:
            parsed = _parse(file)
        except _Unparsed:
            self._unread.append(file.text)
            return
        self._bodies[file.name] = parsed.body
        self._pure = self._pure and parsed.pure
        for name, bodies in parsed.helpers.items():
            known = self._helpers.setdefault(name, [])
            known.extend(body for body in bodies if body not in known)

    def _evaluates_unseen(self) -> bool:
        """Whether templates may come out of files that are not among these."""
        texts = [file.text for file in self._files.values()]
        return any(re.search(r"\btpl\b", text) for text in texts) and any(".Files" in text for text in texts)

    def path(self, name: str) -> str:
        return self._files[name].path

    def lined(self, path: str) -> bool:
        return path not in self._archives

    def grammar(self, name: str) -> _Grammar | None:
        """None for a template that nothing can be said about."""
        if name not in self._grammars:
            self._grammars[name] = self._grammar(name)
        return self._grammars[name]

    def _grammar(self, name: str) -> _Grammar | None:
        body = self._bodies.get(name)
        # a helper of the template's own name takes its place, and `<no value>` is cut out of what is rendered
        replaced = name in self._helpers or any(name in text for text in self._unread)
        if body is None or replaced or any("<no value>" in file.text for file in self._files.values()):
            return None
        root = _Known((), frozenset(), False)
        scope = _Scope(self._files[name], root, {"$": root}, 0)
        for in_place in (True, False):
            writer = _Writer(self, _Language(), in_place=in_place)
            try:
                return _Grammar(writer.language, writer.body(body, scope, pad=0, free=True))
            except _TooMuch:
                continue
        return None

    # -- expressions ------------------------------------------------------------------------------------------------------

    def helper(self, name: str) -> Sequence[_Body]:
        """The definitions that may stand behind a name; none where it is not known which."""
        return () if self._unread or name in self._files else self._helpers.get(name, ())

    def known(self, code: str, scope: _Scope) -> _Known:
        tokens = _tokens(code)
        commands = None if tokens is None else _commands(tokens)
        if commands is None:
            return _UNKNOWN
        return self.pipeline(commands, scope)

    def pipeline(self, commands: Sequence[_Command], scope: _Scope) -> _Known:
        known: _Known | None = None
        for command in commands:
            known = self._command(command, known, scope)
        return known or _UNKNOWN

    def _command(self, command: _Command, piped: _Known | None, scope: _Scope) -> _Known:
        head, *rest = command or ("",)
        operands = [self.term(term, scope) for term in rest] + ([piped] if piped else [])
        if not (isinstance(head, str) and _WORD.fullmatch(head)):
            first = self.term(head, scope)
            # a field with operands is a method (.Files.Get)
            return first if not operands else _Known(None, first.keys, False)
        keys = frozenset[str]().union(*(operand.keys for operand in operands))
        if head in ("include", "template"):
            name = _literal(rest[0]) if rest else None
            one_line, read = self.called(name, operands[1] if len(operands) > 1 else _CONSTANT, scope)
            return _Known(None, keys | read, one_line)
        if head == "index" and piped is None and operands and all(_literal(term) for term in rest[1:]):
            return self._field(operands[0], [_literal(term) or "" for term in rest[1:]], scope)
        if head in ("true", "false", "nil"):
            return _CONSTANT
        if head == "tpl" and len(operands) == 2:
            return self._evaluated(operands[0], operands[1], scope)
        harmless = head in _ONE_LINE or (head in _HARMLESS and all(operand.one_line for operand in operands))
        harmless = harmless or (head == "toYaml" and all(operand.empty for operand in operands))  # {}, [], "", null
        return _Known(None, keys, harmless)

    def term(self, term: _Term, scope: _Scope) -> _Known:
        if isinstance(term, _Group):
            return self._field(self.pipeline(term.commands, scope), term.fields, scope)
        if term[0] in "\"`'":
            return _CONSTANT if not re.search(r"[\n\\]|%[^%a-zA-Z]*c", term) else _UNKNOWN
        if term[0] in ".$":
            name, *fields = term.split(".")
            start = scope.variables.get(name, _UNKNOWN) if name else scope.dot
            return self._field(start, [key for key in fields if key], scope)
        return self._command((term,), None, scope) if _WORD.fullmatch(term) else _CONSTANT

    def _field(self, known: _Known, fields: Sequence[str], scope: _Scope) -> _Known:
        if known.at is None or not fields:
            return known  # what was made of several things: a part of it is made of no more than these
        return self._place((*known.at, *fields), scope)

    def _place(self, at: Keys, scope: _Scope) -> _Known:
        prefix = scope.file.prefix
        match at:
            case ("Values", *rest):
                path = tuple(rest)
                one_line, empty = self._values.one_line(prefix, path), self._values.empty(prefix, path)
                return _Known(at, _shown(prefix, path), one_line, empty)
            case ("Release", _) | ("Chart", "Name" | "Version" | "AppVersion" | "KubeVersion" | "Type"):
                return _Known(at, frozenset(), True)
            case ("Capabilities", "KubeVersion", *_):
                return _Known(at, frozenset(), True)
            case _:
                return _Known(at, frozenset(), False)

    def _evaluated(self, known: _Known, argument: _Known, scope: _Scope) -> _Known:
        """What `tpl` makes of a chart's value: its texts are templates."""
        match known.at:
            case ("Values", *path) if known.one_line and scope.depth < _MAX_CALLS:
                texts = self._values.templates(scope.file.prefix, tuple(path))
            case _:
                return _Known(None, known.keys, False)
        keys, one_line = known.keys, True
        for text in texts:
            try:
                parsed = _parse(replace(scope.file, text=text))
            except _Unparsed:
                return _Known(None, known.keys, False)
            within, read = self._run([parsed.body], argument, scope)
            one_line = one_line and within and parsed.pure and not parsed.helpers
            keys |= read
        return _Known(None, keys, one_line)

    def element(self, known: _Known, scope: _Scope) -> _Known:
        """What `range` takes of a list or a mapping, one after the other."""
        if known.at is None:
            return known
        return replace(self._place((*known.at, "[]"), scope), empty=False)  # it may be a number that is counted to

    def called(self, name: str | None, argument: _Known, scope: _Scope) -> tuple[bool, frozenset[str]]:
        """Of a helper: whether what it prints has no line break, and the values that it reads."""
        bodies = self.helper(name or "")
        if not bodies or scope.depth >= _MAX_CALLS:
            return False, frozenset()
        key = (name or "", argument, scope.file.prefix, scope.depth)
        if key not in self._called:
            self._called[key] = self._run(bodies, argument, scope)
        return self._called[key]

    def _run(self, bodies: Sequence[_Body], argument: _Known, scope: _Scope) -> tuple[bool, frozenset[str]]:
        writer = _Writer(self, _Language(), in_place=False)
        try:
            one_line = not writer.helper(bodies, argument, scope, pad=0, free=False).breaks
        except _TooMuch:
            one_line = False
        return one_line, frozenset[str]().union(*writer.language.reads.values())


_HOOK = re.compile(r"\bhook\b|\.Files\b")
"""What a template says that makes hooks, or takes text from elsewhere."""


def _shown(prefix: Keys, path: Keys) -> frozenset[str]:
    """A key of the values as people write it: `db.image.tag` for the chart `db` in another; `global` is the same for all."""
    if not path:
        return frozenset()
    full = path if path[0] == "global" else (*prefix, *path)
    return frozenset((".".join(full).replace(".[]", "[]").removesuffix("[]"),))


# -- the texts that a template can print ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a language, as positions: a position stands for one character that is printed."""

    first: int
    last: int
    empty: bool
    """Whether it may print nothing."""
    breaks: bool
    """Whether it may print a line break."""


_NOTHING = _Part(0, 0, True, False)


class _Language:
    """Positions and what may follow them: a finite automaton, its sets of positions kept as the bits of integers."""

    def __init__(self) -> None:
        self.characters: dict[str, int] = {}
        """The positions that print a character."""
        self.anything = 0
        """The positions that print any character but a line break."""
        self.free = 0
        """The positions of actions that may print a line `---`."""
        self.chained = 0
        """The positions that only the next one follows."""
        self.follow: dict[int, int] = {}
        self.lines: dict[_Line, int] = {}
        self.owners: list[_Line | int] = []
        """Of each position, the line of the template, or the number of the action that prints it."""
        self.printed: list[tuple[int, str, frozenset[str]]] = []
        """Of each action: its positions, its file, and the keys of the values that it prints."""
        self.reads: dict[_Line, frozenset[str]] = {}
        """The lines on which actions stand, with the keys that these read."""
        self._steps = 0

    @property
    def size(self) -> int:
        return len(self.owners)

    def text(self, text: str, where: _Where, line: int) -> _Part:
        """The template's own text, which starts on `line`."""
        start = self.size
        for character in text:
            self._add(character, (where.path, line))
            if character == "\n":
                line += 1
                for _ in range(where.pad):
                    self._add(" ", (where.path, line))
        return self._chain(start, "\n" in text)

    def action(self, path: str, keys: frozenset[str]) -> int:
        """A new action's number."""
        self.printed.append((0, path, keys))
        return len(self.printed) - 1

    def spaces(self, text: str, action: int) -> _Part:
        """What an action prints for certain."""
        start = self.size
        for character in text:
            self._add(character, action)
        return self._chain(start, "\n" in text)

    def line(self, action: int, *, free: bool) -> _Part:
        """Any text without a line break."""
        position = 1 << self.size
        self._own(action)
        self.anything |= position
        self.free |= position if free else 0
        return self.repeated(_Part(position, position, True, False))

    def block(self, action: int, pad: int, *, free: bool) -> _Part:
        """Any text, each line after the first with `pad` spaces before it."""
        line = self.line(action, free=free)
        breaks = self.spaces("\n" + " " * pad, action)
        self.free |= breaks.first if free else 0
        return self.repeated(self.either(breaks, line))

    def _add(self, character: str, owner: _Line | int) -> None:
        self.characters[character] = self.characters.get(character, 0) | 1 << self.size
        self._own(owner)

    def _own(self, owner: _Line | int) -> None:
        if self.size >= MAX_POSITIONS:
            raise _TooMuch
        position = 1 << self.size
        if isinstance(owner, int):
            own, path, keys = self.printed[owner]
            self.printed[owner] = (own | position, path, keys)
        else:
            self.lines[owner] = self.lines.get(owner, 0) | position
        self.owners.append(owner)

    def _chain(self, start: int, breaks: bool) -> _Part:
        """The positions since `start`, one after the other."""
        if start == self.size:
            return _NOTHING
        end = self.size - 1
        self.chained |= (1 << end) - (1 << start)
        return _Part(1 << start, 1 << end, False, breaks)

    def link(self, before: int, after: int) -> None:
        for position in _bits(before):
            self.follow[position] = self.follow.get(position, 0) | after
            self._steps += 1
        if self._steps > MAX_STEPS:
            raise _TooMuch

    def then(self, one: _Part, two: _Part) -> _Part:
        self.link(one.last, two.first)
        return _Part(
            one.first | (two.first if one.empty else 0),
            two.last | (one.last if two.empty else 0),
            one.empty and two.empty,
            one.breaks or two.breaks,
        )

    @staticmethod
    def either(one: _Part, two: _Part) -> _Part:
        return _Part(one.first | two.first, one.last | two.last, one.empty or two.empty, one.breaks or two.breaks)

    def repeated(self, part: _Part) -> _Part:
        """Once or more."""
        self.link(part.last, part.first)
        return part


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


@dataclass(frozen=True, slots=True)
class _Where:
    """Where the text stands that is read."""

    path: str
    pad: int
    """Spaces that `indent` puts before each of its lines."""
    changing: frozenset[str]


class _Writer:
    """Turns templates into a language, helpers in place."""

    def __init__(self, templates: Templates, language: _Language, *, in_place: bool) -> None:
        self._templates = templates
        self._in_place = in_place
        self.language = language

    def body(self, body: _Body, scope: _Scope, *, pad: int, free: bool) -> _Part:
        return self.nodes(body.nodes, scope, _Where(body.path, pad, body.changing), free=free)

    def helper(self, bodies: Sequence[_Body], argument: _Known, scope: _Scope, *, pad: int, free: bool) -> _Part:
        """Any of the definitions that may stand behind a name."""
        inner = _Scope(scope.file, argument, {"$": argument}, scope.depth + 1)
        parts = [self.body(body, inner, pad=pad, free=free) for body in bodies]
        return reduce(self.language.either, parts)

    def nodes(
        self, nodes: Sequence[_Node], scope: _Scope, where: _Where, *, skipped: bool = False, free: bool = True
    ) -> _Part:
        """`skipped`: `break` or `continue` may pass over any of them. `free`: they may begin at the start of a line."""
        part = _NOTHING
        for node in nodes:
            match node:
                case _Text():
                    piece = self.language.text(node.text, where, node.line)
                    free = not node.text.rpartition("\n")[2].strip("-")
                case _Action():
                    piece, scope = self._action(node, scope, where, free and not where.pad)
                    free = free or piece.breaks
                case _Block():
                    piece = self._block(node, scope, where, skipped)
                    free = True
            part = self.language.then(part, replace(piece, empty=True) if skipped else piece)
        return part

    def _block(self, block: _Block, scope: _Scope, where: _Where, skipped: bool) -> _Part:
        word, code = _first_word(block.head.code)
        setting = _SETTING.fullmatch(code)
        known = self._templates.known(setting[4] if setting else code, scope)
        self._reads(block.head, known.keys, where)
        inner, nothing = scope, known.empty
        if word == "range":
            known = self._templates.element(known, scope)
            skipped = skipped or _jumps(block.body)
        if setting:
            if setting[1]:
                inner = _bound(inner, setting[1], replace(known, at=None, empty=False), where)
            inner = _bound(inner, setting[2], known, where)
        if word != "if":
            inner = replace(inner, dot=known)
        otherwise = self.nodes(block.otherwise, replace(inner, dot=scope.dot), where, skipped=skipped)
        if nothing:
            return otherwise
        body = self.nodes(block.body, inner, where, skipped=skipped)
        if word == "range":
            body = self.language.repeated(body)
        return self.language.either(body, otherwise)

    def _action(self, action: _Action, scope: _Scope, where: _Where, free: bool) -> tuple[_Part, _Scope]:
        if action.code in ("", "break", "continue"):
            return _NOTHING, scope
        setting = _SETTING.fullmatch(action.code)
        known = self._templates.known(setting[4] if setting else action.code, scope)
        self._reads(action, known.keys, where)
        if setting:
            return _NOTHING, _bound(scope, setting[2], known, where)
        commands = _commands(_tokens(action.code) or ()) or ()
        if commands[1:] and commands[0][0] == "template":
            commands = ()  # what follows is the helper's operand
        number = self.language.action(where.path, known.keys)
        return self._printed(commands, number, scope, where, free), scope

    def _printed(self, commands: Sequence[_Command], action: int, scope: _Scope, where: _Where, free: bool) -> _Part:
        """What an action prints; the text of a helper that it calls keeps its own places."""
        before, inner = _indented(commands)
        pad = where.pad + len(before.lstrip("\n"))
        if pad > _MAX_PAD:
            before, inner, pad = "", commands, where.pad
        head = self.language.spaces(before.replace("\n", "\n" + " " * where.pad), action)
        free = (free or before[:1] == "\n") and not pad
        bodies, argument = self._call(inner, scope)
        if bodies and scope.depth < _MAX_CALLS and self._in_place:
            return self.language.then(head, self.helper(bodies, argument, scope, pad=pad, free=free))
        if self._templates.pipeline(inner, scope).one_line:
            return self.language.then(head, self.language.line(action, free=free))
        return self.language.then(head, self.language.block(action, pad, free=not pad))

    def _call(self, commands: Sequence[_Command], scope: _Scope) -> tuple[Sequence[_Body], _Known]:
        """The helper that a pipeline calls, and nothing more."""
        match commands:
            case (("include" | "template", str(term), *rest),) if (
                len(rest) < 2 and (name := _literal(term)) is not None
            ):
                return self._templates.helper(name), self._templates.term(rest[0], scope) if rest else _CONSTANT
            case _:
                return (), _UNKNOWN

    def _reads(self, action: _Action, keys: frozenset[str], where: _Where) -> None:
        for line in range(action.line, action.end_line + 1):
            self.language.reads[where.path, line] = self.language.reads.get((where.path, line), frozenset()) | keys


def _bound(scope: _Scope, name: str, known: _Known, where: _Where) -> _Scope:
    if name in where.changing:
        before = scope.variables.get(name, _CONSTANT)
        known = _Known(None, known.keys | before.keys, False)
    return scope.bound(name, known)


def _jumps(nodes: Sequence[_Node]) -> bool:
    return any(
        node.code in ("break", "continue")
        if isinstance(node, _Action)
        else isinstance(node, _Block) and (_jumps(node.body) or _jumps(node.otherwise))
        for node in nodes
    )


def _indented(commands: Sequence[_Command]) -> tuple[str, Sequence[_Command]]:
    """What `indent` or `nindent` at the end of a pipeline puts before, and the pipeline that it is given."""
    match commands[-1] if commands else ():
        case (("indent" | "nindent") as word, str(number), *rest) if number.isdigit() and int(number) <= _MAX_PAD:
            before = ("\n" if word == "nindent" else "") + " " * int(number)
            group = rest[0] if len(rest) == 1 else None
            given = group.commands if isinstance(group, _Group) and not group.fields else (tuple(rest),) if rest else ()
            return before, (*commands[:-1], *given)
        case _:
            return "", commands


# -- documents read -------------------------------------------------------------------------------------------------------

_Row = tuple[int, int]
"""The positions that may have printed a line: the dashes before its first key, and all of it."""


class _Grammar:
    """A template's language, ready to read documents."""

    def __init__(self, language: _Language, part: _Part) -> None:
        self.language = language
        self.part = part
        self.special = ((1 << language.size) - 1) & ~language.chained
        """The positions whose followers are listed."""
        self.before: dict[int, int] = {}
        """What stands before each position that is listed so."""
        for position, after in language.follow.items():
            for follower in _bits(after):
                self.before[follower] = self.before.get(follower, 0) | 1 << position
        self.followers = sum(1 << position for position in self.before)

    def read(self, text: str, *, alone: bool) -> list[_Row] | None:
        """For each line, the positions that printed it in one reading of the text or another; None where there is no reading, or
        looking for one takes too long. `alone`: the text is all that the template printed, but for blanks and `---`."""
        if len(text) * self.language.size > MAX_WORK:
            return None
        try:
            return _Reading(self).rows(text, alone)
        except _TooMuch:
            return None


class _Reading:
    """All readings of one document at once: forward, the positions that may have printed each character after what comes before it;
    back from the end, those of them from which the end can be reached."""

    def __init__(self, grammar: _Grammar) -> None:
        self._grammar = grammar
        self._language = grammar.language
        self._after_cache: dict[int, int] = {}
        self._before_cache: dict[int, int] = {}
        self._steps = 0

    def rows(self, text: str, alone: bool) -> list[_Row] | None:
        start, end = self._bounds(alone)
        states: list[int] = []
        for character in text:
            here = start & self._printing(character)
            if not here:
                return None
            states.append(here)
            start = self._after(here)
        return self._back(text, states, end)

    def _back(self, text: str, states: Sequence[int], live: int) -> list[_Row]:
        rows: list[_Row] = []
        at = len(text) - 1
        for line in reversed(text.split("\n")):
            begin = at + 1 - len(line)
            first, last = begin + len(line) - len(line.lstrip()), begin + len(line.rstrip())
            dashes = _DASHES.match(text, first, last)
            key = dashes.end() if dashes else first
            head = whole = 0
            while at >= begin - 1 and at >= 0:  # from the line's end to the line break before it
                live &= states[at]
                if first <= at < last:
                    whole |= live
                    head |= live if at < key else 0
                live = self._earlier(live)
                at -= 1
            rows.append((head, whole))
        return rows[::-1]

    def _printing(self, character: str) -> int:
        own = self._language.characters.get(character, 0)
        return own | (self._language.anything if character != "\n" else 0)

    def _after(self, positions: int) -> int:
        """What may follow any of them."""
        special = positions & self._grammar.special
        if special not in self._after_cache:
            self._after_cache[special] = self._union(special, self._language.follow)
        return (positions & self._language.chained) << 1 | self._after_cache[special]

    def _earlier(self, positions: int) -> int:
        """What any of them may follow."""
        special = positions & self._grammar.followers
        if special not in self._before_cache:
            self._before_cache[special] = self._union(special, self._grammar.before)
        return positions >> 1 & self._language.chained | self._before_cache[special]

    def _union(self, positions: int, links: Mapping[int, int]) -> int:
        found = 0
        for position in _bits(positions):
            found |= links.get(position, 0)
            self._steps += 1
        if self._steps > MAX_STEPS:
            raise _TooMuch
        return found

    def _bounds(self, alone: bool) -> tuple[int, int]:
        """The positions that may come first in a document, and those that may come last. Helm cuts what a template prints at lines
        that begin with `---`, wherever these come from, and takes the blanks off each document."""
        dash = self._language.characters.get("-", 0)
        blank = self._language.anything
        for character, positions in self._language.characters.items():
            blank |= positions if character.isspace() or (alone and character == "-") else 0
        first, last = self._grammar.part.first, self._grammar.part.last
        if not alone:
            after, before = self._cuts(dash | self._language.free)
            first, last = first | after, last | before
        return (
            _closed(first, lambda found: self._after(found & blank)),
            _closed(last, lambda found: self._earlier(found & blank)),
        )

    def _cuts(self, dash: int) -> tuple[int, int]:
        """What may stand after a `---` and before one."""
        breaks = self._language.characters.get("\n", 0)
        starts = dash & ~((self._language.chained & ~breaks) << 1)
        after = self._after(self._after(starts) & dash) & dash
        before = self._earlier(self._earlier(dash) & dash) & starts
        return self._after(after), self._earlier(before)


_DASHES = re.compile(r"(?:-[ ]+)+")


def _closed(found: int, step: Callable[[int], int]) -> int:
    while (more := found | step(found)) != found:
        found = more
    return found


# -- the way back ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rendered:
    """A document that a template printed."""

    text: str
    line: int
    """Of the text that lines are counted in, the one on which `text` starts."""
    alone: bool
    """Whether the template printed no other one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """What any rendered object of a chart has."""

    source: Hashable
    """What it was made of, equal in all releases of the chart."""
    spans: Mapping[FieldPath, Span] | None
    """The lines of an item of a List, which was written anew, so that the lines of its own text say nothing."""

    def lines(self, spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Span | None]:
        """By field path, the lines in what helm printed."""
        return spans if self.spans is None else {path: self.spans.get(path) for path in spans}


class TemplateTrace:
    """Of an object that a template printed (satisfies kguard.model.Trace)."""

    def __init__(self, made: Made, templates: Templates, name: str, rendered: Rendered) -> None:
        self._made = made
        self._templates = templates
        self._name = name
        self._rendered = rendered

    @property
    def source(self) -> Hashable:
        return self._made.source

    def locations(self, value: Mapping[str, Any], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        spots = _Spots(self._templates, self._name, self._rendered)
        lines = self._made.lines(spans)
        found = {path: _of_field(path, lookup(value, path), span, spots) for path, span in lines.items() if path}
        found[()] = _of_object(found, spots)
        return found

    def removed_by(self, path: FieldPath, seen: Mapping[str, Any]) -> Location | None:
        """A chart has no patches."""
        return None


class FileTrace:
    """Of an object that helm took from a file as it is: a chart's CRD (satisfies kguard.model.Trace)."""

    def __init__(self, made: Made, path: str, offset: int | None) -> None:
        """`offset`: what to add to a line of what helm printed for its line in the file; None where that is not known."""
        self._made = made
        self._path = path
        self._offset = offset

    @property
    def source(self) -> Hashable:
        return self._made.source

    def locations(self, value: Mapping[str, Any], spans: Mapping[FieldPath, Span]) -> Mapping[FieldPath, Location]:
        return {path: self._location(path, span) for path, span in self._made.lines(spans).items()}

    def removed_by(self, path: FieldPath, seen: Mapping[str, Any]) -> Location | None:
        """A chart has no patches."""
        return None

    def _location(self, path: FieldPath, span: Span | None) -> Location:
        if self._offset is None or span is None:
            return Location(path=self._path, line=None, end_line=None, precision=Precision.TEMPLATE)
        return Location(
            path=self._path,
            line=span.line + self._offset,
            end_line=span.end_line + self._offset,
            precision=Precision.EXACT if path else Precision.OBJECT,
        )


@dataclass(frozen=True, slots=True)
class _Spot:
    """What is known of the origin of one line."""

    path: str
    line: int | None
    """None where it is not proven which line printed it."""
    plain: bool
    """No action stands on that line of the template."""
    keys: frozenset[str]


class _Spots:
    """The lines of one document and where they come from."""

    def __init__(self, templates: Templates, name: str, rendered: Rendered) -> None:
        self.path = templates.path(name)
        self._templates = templates
        self._lines = rendered.text.split("\n")
        self._line = rendered.line
        self._known: dict[int, _Spot] = {}
        self._grammar = templates.grammar(name) if not OTHER_BREAKS.search(rendered.text) else None
        self._rows = self._grammar.read(rendered.text, alone=rendered.alone) if self._grammar else None

    def text(self, line: int) -> str:
        number = line - self._line
        return self._lines[number] if 0 <= number < len(self._lines) else ""

    def of(self, line: int, *, head: bool = False) -> _Spot | None:
        """Of a line, or of the dashes that it begins with; None for a blank one."""
        number = line - self._line
        if self._grammar is None or self._rows is None or not 0 <= number < len(self._rows):
            return _Spot(self.path, None, False, frozenset())
        positions = self._rows[number][0 if head else 1]
        if positions and positions not in self._known:
            self._known[positions] = self._spot(positions, self._grammar.language)
        return self._known.get(positions)

    def _spot(self, positions: int, language: _Language) -> _Spot:
        lines: set[_Line] = set()
        paths: set[str] = set()
        keys: set[str] = set()
        printed = False
        while positions:
            match language.owners[(positions & -positions).bit_length() - 1]:
                case (path, _) as place:
                    lines.add(place)
                    paths.add(path)
                    keys |= language.reads.get(place, frozenset())
                    positions &= ~language.lines[place]
                case owner:
                    printed = True
                    own, path, read = language.printed[owner]
                    paths.add(path)
                    keys |= read
                    positions &= ~own
        line = next(iter(lines)) if len(lines) == 1 and not printed else None
        return _Spot(
            path=next(iter(paths)) if len(paths) == 1 else self.path,
            line=line[1] if line and self._templates.lined(line[0]) else None,
            plain=line is not None and line not in language.reads,
            keys=frozenset(keys),
        )


OTHER_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
"""What YAML counts as the end of a line and editors and templates do not."""


def _of_field(path: FieldPath, value: Any, span: Span | None, spots: _Spots) -> Location:
    if span is None or not _names(spots.text(span.line), path[-1]):
        return _template(set(), (), spots)
    held = isinstance(value, (dict, list)) and bool(value)  # what it holds has places of its own
    if held and isinstance(path[-1], int) and _begins_with_dash(spots.text(span.line), value):
        dash = spots.of(span.line, head=True)
        if dash is not None and dash.line is not None:
            return _exact(dash, spots.of(span.end_line))
    rows = range(span.line, span.line + 1 if held else span.end_line + 1)
    own = [spot for line in rows if (spot := spots.of(line)) is not None]
    paths = {spot.path for spot in own}
    if own and len(paths) == 1 and all(spot.plain and spot.line is not None for spot in own):
        return _exact(own[0], spots.of(span.end_line))
    return _template(paths, [spot.keys for spot in own], spots)


def _names(text: str, key: str | int) -> bool:
    """Whether a key stands in a line: one that an item takes from its typed list does not."""
    return isinstance(key, int) or re.search(rf"(?:^|[\s{{\[,\"'-]){re.escape(key)}[\"']?\s*:", text) is not None


def _begins_with_dash(text: str, item: Any) -> bool:
    """Whether a line is `- key: ...` with the first key of an item, so that its dash is the item's."""
    key = re.escape(next(iter(item))) if isinstance(item, dict) else None
    return key is not None and re.match(rf"\s*(?:-[ ]+)+[\"']?{key}[\"']?[ ]*:", text) is not None


def _exact(first: _Spot, last: _Spot | None) -> Location:
    end = last.line if last is not None and last.path == first.path else None
    line = first.line or 0
    return Location(path=first.path, line=line, end_line=max(line, end or 0), precision=Precision.EXACT)


def _template(paths: set[str], keys: Sequence[frozenset[str]], spots: _Spots) -> Location:
    return Location(
        path=next(iter(paths)) if len(paths) == 1 else spots.path,
        line=None,
        end_line=None,
        precision=Precision.TEMPLATE,
        values=tuple(sorted(frozenset[str]().union(*keys))),
    )


def _of_object(found: Mapping[FieldPath, Location], spots: _Spots) -> Location:
    """The line of its `apiVersion` or `kind`, whichever comes first."""
    heads = [place for key in ("apiVersion", "kind") if (place := found.get((key,))) is not None]
    exact = [place for place in heads if place.line is not None]
    if exact and len({place.path for place in exact}) == 1:
        first = min(exact, key=lambda place: place.line or 0)
        return replace(first, end_line=first.line, precision=Precision.OBJECT)
    return _template({place.path for place in heads}, [frozenset(place.values) for place in heads], spots)
