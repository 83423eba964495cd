"""What is known of the thing that an expression gives: which values it is made of, and whether it can hold a line break."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kguard.inputs.helm.expression import WORD, Command, Group, Term, literal
from kguard.inputs.helm.gotemplate import Body, Parsed, TemplateFile, Unparsed, parse
from kguard.inputs.helm.values import Keys, Values, written_key

MAX_CALLS = 5
"""Helpers, one in the other."""

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
class Known:
    """What is known of the thing that an expression gives."""

    at: Keys | None
    """Its place in the template's data, () for all of it; None where it was made of several things."""
    keys: frozenset[str]
    """The keys of the chart's values that it is made of."""
    one_line: bool
    """No text in it holds a line break."""
    empty: bool = False
    """It is nothing: `if` and `with` pass over it."""


UNKNOWN = Known(None, frozenset(), False)
CONSTANT = Known(None, frozenset(), True)


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean at a place of a template."""

    file: TemplateFile
    """The template that helm executes, wherever the place is."""
    dot: Known
    variables: Mapping[str, Known]
    depth: int
    """Helpers around."""


Printed = Callable[[Sequence[Body], Known, Scope], Known]
"""What is known of the text that one of several bodies prints when it is given an operand."""


class Evaluator:
    """Expressions of the templates of a release."""

    def __init__(self, values: Values, helpers: Mapping[str, Sequence[Body]], printed: Printed) -> None:
        self.helpers = helpers
        """The definitions that may stand behind a name."""
        self._values = values
        self._printed = printed
        self._called: dict[tuple[str, Known, Keys, int], Known] = {}

    def pipeline(self, commands: Sequence[Command], scope: Scope) -> Known:
        known: Known | None = None
        for command in commands:
            known = self._command(command, known, scope)
        return known or UNKNOWN

    def term(self, term: Term, scope: Scope) -> Known:
        if isinstance(term, Group):
            return self._field(self.pipeline(term.commands, scope), term.fields, scope)
        if term[0] in "\"`'":
            return CONSTANT if not re.search(r"[\n\\]|%[^%a-zA-Z]*c", term) else UNKNOWN
        if term[0] in ".$":
            name, *fields = term.split(".")
            start = scope.variables.get(name, UNKNOWN) if name else scope.dot
            return self._field(start, [key for key in fields if key], scope)
        return self._command((term,), None, scope) if WORD.fullmatch(term) else CONSTANT

    def element(self, known: Known, scope: Scope) -> Known:
        """What `range` takes of a list or a mapping, one after the other."""
        if known.at is None:
            return known
        return replace(self._place((*known.at, "[]"), scope), empty=False)  # it may be a number that is counted to

    # -- functions --------------------------------------------------------------------------------------------------------

    def _command(self, command: Command, piped: Known | None, scope: Scope) -> Known:
        head, *rest = command
        operands = [self.term(term, scope) for term in rest] + ([piped] if piped else [])
        if not (isinstance(head, str) and WORD.fullmatch(head)):
            first = self.term(head, scope)
            # a field with operands is a method (.Files.Get)
            return first if not operands else Known(None, first.keys, False)
        names = [literal(term) for term in rest]
        match head:
            case "include" | "template":
                called = self._call(names[0] if names else None, operands[1] if operands[1:] else CONSTANT, scope)
                return replace(called, keys=_keys(operands) | called.keys)
            case "index" if piped is None and operands and all(names[1:]):
                return self._field(operands[0], [name or "" for name in names[1:]], scope)
            case "tpl" if len(operands) == 2:
                return self._evaluated(operands[0], operands[1], scope)
            case "true" | "false" | "nil":
                return CONSTANT
            case _:
                return _applied(head, operands)

    def _call(self, name: str | None, operand: Known, scope: Scope) -> Known:
        """What is known of the text of a helper."""
        bodies = self.helpers.get(name or "", ())
        if not bodies or scope.depth >= MAX_CALLS:
            return UNKNOWN
        key = (name or "", operand, scope.file.prefix, scope.depth)
        if key not in self._called:
            self._called[key] = self._printed(bodies, operand, scope)
        return self._called[key]

    def _evaluated(self, known: Known, operand: Known, scope: Scope) -> Known:
        """What `tpl` makes of a chart's value: its texts are templates."""
        unknown = Known(None, known.keys, False)
        match known.at:
            case ("Values", *path) if known.one_line and scope.depth < MAX_CALLS:
                texts = self._values.templates(scope.file.prefix, tuple(path))
            case _:
                return unknown
        try:
            templates = [parse(replace(scope.file, text=text)) for text in texts]
        except Unparsed:
            return unknown
        printed = [self._printed([template.body], operand, scope) for template in templates]
        one_line = all(each.one_line for each in printed) and all(map(_prints_alone, templates))
        return Known(None, known.keys | _keys(printed), one_line)

    # -- fields -----------------------------------------------------------------------------------------------------------

    def _field(self, known: Known, fields: Sequence[str], scope: Scope) -> Known:
        if known.at is None or not fields:
            return known  # what was made of several things: a part of it is made of no more than these
        return self._place((*known.at, *fields), scope)

    def _place(self, at: Keys, scope: Scope) -> Known:
        prefix = scope.file.prefix
        match at:
            case ("Values", *rest):
                path = tuple(rest)
                one_line, empty = self._values.one_line(prefix, path), self._values.empty(prefix, path)
                return Known(at, written_key(prefix, path), one_line, empty)
            case ("Release", _) | ("Chart", "Name" | "Version" | "AppVersion" | "KubeVersion" | "Type"):
                return Known(at, frozenset(), True)
            case ("Capabilities", "KubeVersion", *_):
                return Known(at, frozenset(), True)
            case _:
                return Known(at, frozenset(), False)


def _keys(operands: Sequence[Known]) -> frozenset[str]:
    return frozenset[str]().union(*(operand.keys for operand in operands))


def _applied(function: str, operands: Sequence[Known]) -> Known:
    """What a function makes of its operands."""
    one_line = function in _ONE_LINE
    one_line = one_line or (function in _HARMLESS and all(operand.one_line for operand in operands))
    one_line = one_line or (function == "toYaml" and all(operand.empty for operand in operands))  # {}, [], "", null
    return Known(None, _keys(operands), one_line)


def _prints_alone(template: Parsed) -> bool:
    """Whether executing it changes nothing but what it prints."""
    return template.pure and not template.helpers
