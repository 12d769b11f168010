"""Where the checks of FusionPBX's tables and cache belong, between the switch and its dialplan."""

from __future__ import annotations

from esl_controller.doctor.case import Check

CHECKS: tuple[Check, ...] = ()
