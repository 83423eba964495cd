"""Templates turned into the set of texts that they can print, helpers in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from kguard.inputs.helm.evaluator import CONSTANT, MAX_CALLS, UNKNOWN, Evaluator, Known, Scope
from kguard.inputs.helm.expression import Command, Group, first_word, literal, pipeline, setting
from kguard.inputs.helm.gotemplate import Action, Block, Body, Node, Text
from kguard.inputs.helm.language import NOTHING, Language, Part

_MAX_PAD = 64
"""Spaces that `indent` is read to put before a line."""


@dataclass(frozen=True, slots=True)
class _Where:
    """Where the text stands that is read."""

    path: str
    pad: int
    """Spaces that `indent` puts before each of its lines."""
    changing: frozenset[str]
    """Variables that are set more than once."""


class Writer:
    """Adds to a language what templates can print; raises language.TooMuch."""

    def __init__(self, evaluator: Evaluator, language: Language, *, in_place: bool) -> None:
        """`in_place`: the text of helpers is read where they are called; else a call is an action like others."""
        self._evaluator = evaluator
        self._language = language
        self._in_place = in_place

    def body(self, body: Body, scope: Scope, *, pad: int, free: bool) -> Part:
        """`pad`: spaces before each line after the first. `free`: it may begin at the start of a line."""
        return self._nodes(body.nodes, scope, _Where(body.path, pad, body.changing), free=free)

    def helper(self, bodies: Sequence[Body], operand: Known, scope: Scope, *, pad: int, free: bool) -> Part:
        """Any of the definitions that may stand behind a name."""
        inner = Scope(scope.file, operand, {"$": operand}, scope.depth + 1)
        return reduce(self._language.either, [self.body(body, inner, pad=pad, free=free) for body in bodies])

    def _nodes(
        self, nodes: Sequence[Node], scope: Scope, where: _Where, *, skipped: bool = False, free: bool = True
    ) -> Part:
        """`skipped`: `break` or `continue` may pass over any of them."""
        part = NOTHING
        for node in nodes:
            match node:
                case Text():
                    piece = self._language.text(node.text, where.path, node.line, where.pad)
                    free = not node.text.rpartition("\n")[2].strip("-")
                case Action():
                    piece, scope = self._action(node, scope, where, free and not where.pad)
                    free = free or piece.breaks
                case Block():
                    piece = self._block(node, scope, where, skipped)
                    free = True
            part = self._language.then(part, replace(piece, empty=True) if skipped else piece)
        return part

    # -- blocks -----------------------------------------------------------------------------------------------------------

    def _block(self, block: Block, scope: Scope, where: _Where, skipped: bool) -> Part:
        word, rest = first_word(block.head.code)
        names, code = setting(rest)
        known = self._evaluator.pipeline(pipeline(code), scope)
        self._note(block.head, known.keys, where)
        loops = word == "range"
        skipped = skipped or (loops and _jumps(block.body))
        held = self._evaluator.element(known, scope) if loops else known
        inner = _set(scope, names, held, where)
        otherwise = self._nodes(block.otherwise, replace(inner, dot=scope.dot), where, skipped=skipped)
        if known.empty:
            return otherwise
        body = self._nodes(block.body, inner if word == "if" else replace(inner, dot=held), where, skipped=skipped)
        return self._language.either(self._language.repeated(body) if loops else body, otherwise)

    # -- actions ----------------------------------------------------------------------------------------------------------

    def _action(self, action: Action, scope: Scope, where: _Where, free: bool) -> tuple[Part, Scope]:
        if action.code in ("", "break", "continue"):
            return NOTHING, scope
        names, code = setting(action.code)
        commands = pipeline(code)
        known = self._evaluator.pipeline(commands, scope)
        self._note(action, known.keys, where)
        if names:
            return NOTHING, _set(scope, names, known, where)
        if commands[1:] and commands[0][0] == "template":
            commands = ()  # what follows is the helper's operand
        number = self._language.action(where.path, known.keys)
        return self._printed(commands, number, scope, where, free), scope

    def _printed(self, commands: Sequence[Command], action: int, scope: Scope, where: _Where, free: bool) -> Part:
        """What an action prints; the text of a helper that it calls keeps its own places."""
        before, inner = _indented(commands)
        pad = where.pad + len(before.lstrip("\n"))
        if pad > _MAX_PAD:
            before, inner, pad = "", commands, where.pad
        head = self._language.spaces(before.replace("\n", "\n" + " " * where.pad), action)
        free = (free or before[:1] == "\n") and not pad
        bodies, operand = self._called(inner, scope)
        if bodies and scope.depth < MAX_CALLS and self._in_place:
            return self._language.then(head, self.helper(bodies, operand, scope, pad=pad, free=free))
        if self._evaluator.pipeline(inner, scope).one_line:
            return self._language.then(head, self._language.any_line(action, free=free))
        return self._language.then(head, self._language.any_text(action, pad, free=not pad))

    def _called(self, commands: Sequence[Command], scope: Scope) -> tuple[Sequence[Body], Known]:
        """The helper that a pipeline calls, where it does nothing else, and its operand."""
        match commands:
            case (("include" | "template", term, *rest),) if len(rest) < 2 and (name := literal(term)) is not None:
                operand = self._evaluator.term(rest[0], scope) if rest else CONSTANT
                return self._evaluator.helpers.get(name, ()), operand
            case _:
                return (), UNKNOWN

    def _note(self, action: Action, keys: frozenset[str], where: _Where) -> None:
        """On each line of an action stand the keys that it reads."""
        reads = self._language.reads
        for line in range(action.line, action.end_line + 1):
            reads[where.path, line] = reads.get((where.path, line), frozenset()) | keys


def _set(scope: Scope, names: Sequence[str], known: Known, where: _Where) -> Scope:
    """Of two variables, the first is the key or number that a loop gives beside the element."""
    variables = dict(scope.variables)
    for name in names:
        value = known if name == names[-1] else replace(known, at=None, empty=False)
        if name in where.changing:
            value = Known(None, known.keys | variables.get(name, CONSTANT).keys, False)
        variables[name] = value
    return replace(scope, variables=variables)


def _jumps(nodes: Sequence[Node]) -> bool:
    return any(
        node.code in ("break", "continue")
        if isinstance(node, Action)
        else isinstance(node, Block) and (_jumps(node.body) or _jumps(node.otherwise))
        for node in nodes
    )


def _indented(commands: Sequence[Command]) -> tuple[str, Sequence[Command]]:
    """What `indent` or `nindent` at the end of a pipeline puts before, and the pipeline that it is given."""
    match commands[-1] if commands else ():
        case (("indent" | "nindent") as word, str(number), *rest) if number.isdigit() and int(number) <= _MAX_PAD:
            before = ("\n" if word == "nindent" else "") + " " * int(number)
            group = rest[0] if len(rest) == 1 else None
            given = group.commands if isinstance(group, Group) and not group.fields else (tuple(rest),) if rest else ()
            return before, (*commands[:-1], *given)
        case _:
            return "", commands
