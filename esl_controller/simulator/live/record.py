"""What a session heard and said: the record of the Realtime stand-in, for this protocol."""

from __future__ import annotations

from dataclasses import dataclass

from esl_controller.simulator.model.record import Record


@dataclass
class LiveRecord(Record):
    """`spoken` holds utterances; `early_appends` those that came before session.started."""

    def append(self, data: bytes) -> None:
        early = self.early_appends + (not self.sent["session.started"])
        super().append(data)
        self.early_appends = early
