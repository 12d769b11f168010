"""Which extension of a context gets a call, and what it may do with it. [core]

As mod_dialplan_xml.c of FreeSWITCH 1.10.12 does it (parse_exten, dialplan_hunt): extensions are
tried in order, each adds actions to the call, and the hunt ends at the first that "proceeds" and
does not continue. Whether it proceeds is what the last condition that was tried came to: an
extension whose conditions did not all match may proceed, and one that added actions may not.

Only the number is known here. Everything else that a condition asks (a variable, the time of day)
may come out either way, so every answer is the set of what is possible. The tests hold this module
against what a real FreeSWITCH did (tests/freeswitch/hunts.jsonl).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import product
from xml.etree.ElementTree import Element

from esl_controller.freeswitch.dialplan import Action

NESTED = 100  # conditions within conditions; deeper ones fail (MAX_RECUR)
_TIMES = (
    *("date-time", "year", "yday", "mon", "mday", "week", "mweek", "wday", "hour", "minute"),
    *("minute-of-day", "time-of-day", "tz-offset"),
)
"""Attributes by which a condition asks for a time (switch_xml.c, switch_xml_std_datetime_check)."""
_TRUE = ("yes", "on", "true", "t", "enabled", "active", "allow")
_AST = {"N": "[2-9]", "X": "[0-9]", "Z": "[1-9]", ".": ".*"}
_UNSURE = re.compile(r"\[\[|\[:|\{,")  # PCRE and Python read these differently
_VARIABLE = re.compile(r"\$\{(?:[^{}]|\{[^{}]*\})*\}")
_HOLE = "\ue000"  # stands for a variable's value

Asks = Callable[[str], bool | None]
"""Whether an expression matches the number that was called; None: it may."""
_Outcome = tuple[bool, bool]
"""Whether a condition matches, and whether the extension then proceeds."""


class Takes(Enum):
    """Whether the hunt for an extension ends at this one."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


def hunt(extension: Element, asks: Asks) -> tuple[Takes, tuple[Action, ...]]:
    """Whether a call stays with ``extension``, and the actions that it may get there, in order."""
    walk = _Walk(asks)
    proceeds = walk.through(extension, 0)
    if switch_true(extension.get("continue")) or True not in proceeds:
        return Takes.NO, tuple(walk.actions)
    return (Takes.MAYBE if False in proceeds else Takes.YES), tuple(walk.actions)


def called(number: str) -> Asks:
    """The answers for a call to ``number``."""
    return lambda expression: matches(expression, number)


def any_number(expression: str) -> None:
    """The answers for a call whose number is not known."""


def no_number(expression: str) -> bool:
    """The answers for a call to a number that no expression was written for."""
    return False


def switch_true(value: str | None) -> bool:
    """Whether FreeSWITCH takes a value for true (switch_utils.h, switch_true): a word for it, or a
    number whose integer part is not 0."""
    text = (value or "").lower()
    number = re.fullmatch(r"[+-]?([0-9]*)(?:\.[0-9.]*)?", text)
    return bool(number[1].strip("0")) if number else text in _TRUE


class _Walk:
    """One way through an extension's conditions, with every branch that is possible."""

    def __init__(self, asks: Asks) -> None:
        self.asks = asks
        self.actions: list[Action] = []

    def through(self, element: Element, depth: int) -> set[bool]:
        """Whether it proceeds after the conditions in ``element``: what is possible."""
        going, ended = {False}, set[bool]()
        for condition in element.findall("condition") if depth <= NESTED else ():
            outcomes = {each for proceed in going for each in self._outcomes(condition, proceed)}
            self._act(condition, {matched for matched, _ in outcomes})
            going = set()
            within: set[bool] | None = None
            stop = condition.get("break", "").lower()
            for matched, proceed in outcomes:
                proceeds = proceed or (not matched and condition.find("anti-action") is not None)
                if _breaks(stop, matched=matched):
                    ended.add(proceeds)
                elif proceeds and condition.find("condition") is not None:
                    within = within or self.through(condition, depth + 1)
                    going |= within & {True}
                    (going if stop == "never" else ended).update(within & {False})
                else:
                    going.add(proceeds)
            if not going:
                break
        if depth and not switch_true(element.get("require-nested", "true")):
            return {True}
        return going | ended

    def _act(self, condition: Element, matched: set[bool]) -> None:
        for element in condition:
            if (element.tag == "action" and True in matched) or (
                element.tag == "anti-action" and False in matched
            ):
                times = re.search(r"\A\s*[+-]?[0-9]*", element.get("loop", "1"))
                if times and times[0].strip().strip("+0") and "-" not in times[0]:
                    data = element.text or element.get("data") or ""
                    self.actions.append((element.get("application", ""), data))

    def _outcomes(self, condition: Element, proceed: bool) -> Iterator[_Outcome]:
        """What may come of a condition; ``proceed``: of the one before it."""
        rule, asks = condition.get("regex"), condition.get("field") is not None
        for time in _time(condition):
            before = proceed if time is None else time
            if rule is not None:
                for passed, proceeds in self._regexes(condition, rule.lower(), before):
                    yield bool(time) or passed, proceeds
            elif asks:
                # A time that is right makes it match, but the field alone lets it proceed.
                for answer in self._answers(condition):
                    yield bool(time) or answer, answer
            else:
                yield time is not False, time is not False

    def _regexes(self, condition: Element, rule: str, proceed: bool) -> Iterator[_Outcome]:
        """What may come of the <regex> tags of a condition: "all" of them must match, with "xor"
        exactly one, with any other rule one, and then the rest is not tried."""
        # How many matched (2: more than one), whether one did not, whether it proceeds, and
        # whether a match with a group was kept: it then proceeds whatever comes later.
        states, ended = {(0, False, proceed, False)}, set[tuple[int, bool, bool, bool]]()
        for regex in condition.findall("regex"):
            asks = regex.get("field") is not None
            group = asks and "(" in _expression(regex)
            answers = self._answers(regex) if asks else {time is not False for time in _time(regex)}
            tried, states = states, set()
            for (passed, failed, proceeds, kept), answer in product(tried, answers):
                # A time that is wrong leaves it as it was.
                after = answer or (proceeds and not asks)
                state = (min(passed + answer, 2), failed or not answer, after, kept)
                if rule not in ("all", "xor") if answer else rule == "all":
                    ended.add(state)
                else:
                    states.add((*state[:3], answer if group else kept))
        for passed, failed, proceeds, kept in ended | states:
            right = {"xor": passed == 1, "all": not failed}.get(rule, passed > 0)
            yield right, proceeds or kept

    def _answers(self, asking: Element) -> set[bool]:
        """Whether the field of a <condition> or <regex> may match, and whether it may not."""
        field, expression = asking.get("field", "").lower(), _expression(asking)
        answer = None
        if field in ("destination_number", "${destination_number}"):
            answer = self.asks(expression)
        elif not field:
            answer = matches(expression, "")
        return {True, False} if answer is None else {answer}


def _time(asking: Element) -> tuple[bool | None, ...]:
    """Whether it is the time that a tag asks for; None: it asks for none."""
    asks = any(name in asking.attrib for name in _TIMES) or asking.get("dst")
    return (True, False) if asks else (None,)


def _breaks(stop: str, *, matched: bool) -> bool:
    """Whether the conditions after this one are left out. What ``stop`` cannot be is "on-false"."""
    if stop in ("always", "never"):
        return stop == "always"
    return matched if stop == "on-true" else not matched


def _expression(asking: Element) -> str:
    inside = asking.find("expression")
    return asking.get("expression", "") if inside is None else inside.text or ""


def matches(expression: str, subject: str) -> bool | None:
    """Whether FreeSWITCH's regular expression (switch_regex.c) matches; None if that depends on a
    variable, or Python's cannot tell."""
    expression, holes = _VARIABLE.subn(_HOLE, expression)
    flags = re.ASCII
    if expression.startswith("_"):
        expression = f"^{''.join(_AST.get(char, char) for char in expression[1:])}$"
    if expression.startswith("/"):
        expression, slash, options = expression[1:].rpartition("/")
        if not slash:
            return False
        flags |= re.IGNORECASE * ("i" in options) | re.DOTALL * ("s" in options)
    if _UNSURE.search(expression) or "${" in expression or (holes and "[" in expression):
        return None
    # Between \Q and \E everything stands for itself.
    parts = re.split(r"\\Q(.*?)(?:\\E|\Z)", expression, flags=re.DOTALL)
    parts[1::2] = map(re.escape, parts[1::2])
    try:
        found = re.search("".join(parts).replace(_HOLE, "(?:.*)"), subject, flags)
    except (re.error, RecursionError, OverflowError):
        return None
    return None if found and holes else found is not None
