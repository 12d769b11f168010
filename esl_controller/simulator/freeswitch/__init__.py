"""The FreeSWITCH stand-in: everything that a controller sees of FreeSWITCH, and nothing else.

In layers: the wire and the audio; a channel and its streams; the session, which is a channel's
thread; what sessions run (applications, API commands, connections); the switch on top, which
fills in their tables. Modules import downwards only, and from outside only ``media``.
What it does is held against ``tests/captures``: no behaviour without a capture or a source line.
"""

from esl_controller.simulator.freeswitch.call import CallStandIn
from esl_controller.simulator.freeswitch.dialplan import DialplanAction, Ladder
from esl_controller.simulator.freeswitch.faults import Faults
from esl_controller.simulator.freeswitch.switch import SwitchStandIn

__all__ = ["CallStandIn", "DialplanAction", "Faults", "Ladder", "SwitchStandIn"]
