"""What is sent to FreeSWITCH is made in one place, esl_controller/freeswitch/wire.py.

There each value is checked: a line break in one would be another command. So a command has a type
that nothing else makes, and nobody puts a command's text together where it is sent.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.paths import ROOT

WIRE = "esl_controller/freeswitch/wire.py"
ROOMS = ("freeswitch", "fusionpbx", "diagnostics", "session")
SENDING = frozenset(
    {"line", "api", "uuid_api", "sendmsg", "sendevent", "command", "execute", "set_variable"}
    | {"setvar", "play", "unset_variable", "variable", "_api", "_send"}
)
"""The functions on a command's way to the wire."""
PUT_TOGETHER = {
    ("connection.py", "f'+{seconds:.0f}'"): "a number",
    ("connection.py", "f'{self._commands.uuid} stop {path}'"): "a UUID and a quoted path",
    ("transfers.py", "f\"'{dialplan.bridge_and_return(way)}'\""): "of places, numbers and hops",
    ("transfers.py", "f\"'{line}'\""): "of what SOCKET matches, a place and a number",
    ("transfers.py", "','.join([*exported, dialplan.HOPS])"): "the channel's own names and ours",
    ("leg.py", "f'{brackets}{to}'"): "variables that were checked, and a dial string of ours",
    ("leg.py", "f'&{then}'"): "an application of ours",
    ("parked_leg.py", "f'+{LIMIT_S}'"): "a number",
    ("switch_checks.py", "f'{name}.conf'"): "a name in our code",
}
"""Text that is put together where it is sent, and why it may be: file and expression."""


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / "esl_controller" / room).rglob("*.py")):
            if path != ROOT / WIRE:
                yield path, ast.parse(path.read_text(encoding="utf-8"))


def name_of(call: ast.Call) -> str:
    """The last part of what is called."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def is_put_together(value: ast.expr) -> bool:
    """An f-string, a sum, a product by % or ``format``."""
    formats = isinstance(value, ast.Call) and name_of(value) in ("format", "join")
    return formats or isinstance(value, ast.JoinedStr | ast.BinOp)


def put_together(path: Path, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The arguments of commands whose text is put together on the spot, or right before."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        made: dict[str, list[ast.expr]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign):
                values = node.value.elts if isinstance(node.value, ast.List) else [node.value]
                for target in node.targets:
                    made.setdefault(ast.unparse(target), []).extend(values)
        for call in calls(function):
            if name_of(call) not in SENDING:
                continue
            for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
                value = argument.value if isinstance(argument, ast.Starred) else argument
                for each in made.get(ast.unparse(value), [value]):
                    if is_put_together(each):
                        yield path.name, ast.unparse(each)


def test_nobody_puts_a_command_together_where_it_is_sent() -> None:
    found = {each for path, tree in sources() for each in put_together(path, tree)}
    assert found == PUT_TOGETHER.keys()


def test_only_the_wire_makes_commands() -> None:
    made = [
        f"{path.name}:{call.lineno}"
        for path, tree in sources()
        for call in calls(tree)
        if name_of(call) in ("Command", "cast") and "Command" in ast.unparse(call)
    ]
    assert made == []


def test_what_is_sent_has_the_type_of_a_command() -> None:
    """Genesis takes any text; mypy holds the type where these functions are called."""
    sent: dict[str, set[str]] = {}
    for path, tree in sources():
        if "esl_controller.freeswitch.esl" not in path.read_text(encoding="utf-8"):
            continue
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            types = {
                each.arg: ast.unparse(each.annotation)
                for each in function.args.args
                if each.annotation is not None
            }
            for call in calls(function):
                if name_of(call) == "send":
                    (argument,) = call.args
                    kind = types.get(ast.unparse(argument), ast.unparse(argument))
                    sent.setdefault(kind, set()).add(path.name)
    assert sent.pop("Command") == {
        *("channel_commands.py", "leg.py", "rescue.py", "case.py", "switch.py"),
    }
    assert all(kind.startswith("wire.") for kind in sent), sent
