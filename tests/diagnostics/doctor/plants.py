"""Faults that can be planted in a clinic, and how the doctor has to find one: alone, and right."""

from __future__ import annotations

from collections.abc import Callable

from esl_controller.diagnostics.doctor.report import Status
from tests.diagnostics.doctor.clinic import Clinic, ill

FAILED, WARNING = Status.FAILED, Status.WARNING
SEED = "ws://127.0.0.1:8085/ws/${domain_uuid}/${secretary_uuid}/${uuid}"

Plant = Callable[[Clinic], None]
Planted = tuple[Plant, str, Status, str, str]
"""A plant, the check that finds it, its status, and words of its ``found`` and ``remedy``."""


def extension(*actions: tuple[str, str], name: str = "voice", number: str = "^8000$") -> str:
    rows = "".join(f'<action application="{app}" data="{data}"/>' for app, data in actions)
    condition = f'<condition field="destination_number" expression="{number}">{rows}</condition>'
    return f'<extension name="{name}">{condition}</extension>'


def dialplan(*actions: tuple[str, str]) -> Plant:
    def plant(place: Clinic) -> None:
        place.extension = extension(*actions)

    return plant


def replaced(old: str, new: str) -> Plant:
    def plant(place: Clinic) -> None:
        assert old in place.extension
        place.extension = place.extension.replace(old, new)

    return plant


def setting(name: str, value: str) -> Plant:
    return lambda place: place.setting(name, value)


def unloaded(module: str, *, file: bool) -> Plant:
    def plant(place: Clinic) -> None:
        there = place.of.switch.installation
        there.modules.discard(module)
        if not file:
            there.files.discard(f"/usr/lib/freeswitch/mod/{module}.so")

    return plant


def nothing(place: Clinic) -> None:
    """The fault is in how it was set up."""


async def diagnosed(place: Clinic, fault: Planted) -> None:
    """Plant it, and have it found: it alone, with its remedy."""
    plant, check, status, found, remedy = fault
    plant(place)
    report = await place.examine()
    assert ill(report) == {check: status}, report.json()
    assert found in report.findings[check].found
    assert remedy in report.findings[check].remedy
    assert report.findings[check].why
    assert report.exit_status == (status is FAILED)
    await place.of.no_calls()
    assert place.of.controller.calls.taken == 0
