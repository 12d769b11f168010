"""The FreeSWITCH stand-in: everything that a controller sees of FreeSWITCH, and nothing else."""

from esl_controller.simulator.freeswitch.call import CallStandIn
from esl_controller.simulator.freeswitch.dialplan import DialplanAction, Ladder
from esl_controller.simulator.freeswitch.faults import Faults
from esl_controller.simulator.freeswitch.switch import SwitchStandIn

__all__ = ["CallStandIn", "DialplanAction", "Faults", "Ladder", "SwitchStandIn"]
