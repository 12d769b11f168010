"""What becomes of a caller whom we have transferred, as the channel's events tell it. [core]

The connection of the transferred call lingers until the call is over. FreeSWITCH goes on sending it
the channel's events, so it sees whether anybody was reached.
"""

from __future__ import annotations

from dataclasses import dataclass

from esl_controller.call.events import HungUp
from esl_controller.freeswitch.events import Running, SwitchEvent


@dataclass
class Away:
    """One caller after a transfer.

    ``mailbox``: one answered. ``instead``: the cause for which nobody else did, if that is known;
    an announcement may have answered, too. ``back``: a controller was dialled again, so that the
    call's end is no longer ours to tell. ``ended``: how the call ended, once it has.
    """

    mailbox: bool = False
    instead: str = ""
    back: bool = False
    ended: HungUp | None = None

    def see(self, event: SwitchEvent) -> None:
        """Take note of an event of the channel."""
        match event:
            case Running(application="socket"):
                self.back = True
            case Running(application, data):
                # FusionPBX's mailboxes are a script: `lua app.lua voicemail`.
                self.mailbox = self.mailbox or "voicemail" in (application, *data.split())
            case HungUp() if self.ended is None:
                self.ended = event
                self.instead = self.instead or event.instead

    @property
    def machine(self) -> str:
        """What answered in the place of somebody, in words; empty if nothing is known of such."""
        why = f" ({self.instead})" if self.instead else ""
        if self.mailbox:
            return f"a mailbox answered{why}"
        return f"a mailbox or an announcement answered{why}" if why else ""
