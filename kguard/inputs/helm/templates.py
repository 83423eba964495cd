"""All templates of a release, each ready to read the documents that it printed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kguard.inputs.helm.evaluator import Evaluator, Known, Scope
from kguard.inputs.helm.gotemplate import Body, TemplateFile, Unparsed, changes_values, parse
from kguard.inputs.helm.language import Language, TooMuch
from kguard.inputs.helm.readings import Grammar
from kguard.inputs.helm.values import Values
from kguard.inputs.helm.writer import Writer

_HOOK = re.compile(r"\bhook\b|\.Files\b")
"""What a template says that makes hooks, or takes text from elsewhere."""
_EVALUATES = re.compile(r"\btpl\b")
_CUT_OUT = "<no value>"
"""Helm cuts it out of what is rendered."""


class Templates:
    """The templates of a release; the language of each is made when it is first asked for."""

    def __init__(self, files: Sequence[TemplateFile], values: Values) -> None:
        self._files = {file.name: file for file in files}
        self._archives = {file.path for file in files if not file.lined}
        self._bodies: dict[str, Body] = {}
        self._helpers: dict[str, list[Body]] = {}
        self._unread: list[str] = []
        """The texts of templates that are not understood: they may define any helper."""
        self._pure = True
        for file in files:
            self._read(file)
        self._cut = any(_CUT_OUT in file.text for file in self._files.values())
        known = {name: found for name, found in self._helpers.items() if name not in self._files}
        self._evaluator = Evaluator(
            Values((), known=False) if self._may_change(values) else values,
            {} if self._unread else known,
            self._printed,
        )
        self._grammars: dict[str, Grammar | None] = {}
        self.hooks = any(_HOOK.search(text) for text in (*(file.text for file in files), *values.texts()))
        """Whether helm may have left a document out: it drops hooks that it does not know."""

    def path(self, name: str) -> str:
        return self._files[name].path

    def lined(self, path: str) -> bool:
        return path not in self._archives

    def grammar(self, name: str) -> Grammar | None:
        """None for a template that nothing can be said about."""
        if name not in self._grammars:
            self._grammars[name] = self._grammar(name)
        return self._grammars[name]

    def _read(self, file: TemplateFile) -> None:
        try:
            parsed = parse(file)
        except Unparsed:
            self._unread.append(file.text)
            return
        self._bodies[file.name] = parsed.body
        self._pure = self._pure and parsed.pure
        for name, bodies in parsed.helpers.items():
            known = self._helpers.setdefault(name, [])
            known.extend(body for body in bodies if body not in known)

    def _may_change(self, values: Values) -> bool:
        """Whether templates may change values, or come out of files that are not among these."""
        if self._unread or not self._pure or any("{{" in text and changes_values(text) for text in values.texts()):
            return True
        texts = [file.text for file in self._files.values()]
        return any(_EVALUATES.search(text) for text in texts) and any(".Files" in text for text in texts)

    def _grammar(self, name: str) -> Grammar | None:
        body = self._bodies.get(name)
        # a helper of the template's own name takes its place
        replaced = name in self._helpers or any(name in text for text in self._unread)
        if body is None or replaced or self._cut:
            return None
        root = Known((), frozenset(), False)
        scope = Scope(self._files[name], root, {"$": root}, 0)
        for in_place in (True, False):
            language = Language()
            try:
                part = Writer(self._evaluator, language, in_place=in_place).body(body, scope, pad=0, free=True)
                return Grammar(language, part)
            except TooMuch:
                continue
        return None

    def _printed(self, bodies: Sequence[Body], operand: Known, scope: Scope) -> Known:
        """What is known of the text of a helper."""
        language = Language()
        writer = Writer(self._evaluator, language, in_place=False)
        try:
            one_line = not writer.helper(bodies, operand, scope, pad=0, free=False).breaks
        except TooMuch:
            one_line = False
        return Known(None, frozenset[str]().union(*language.reads.values()), one_line)
