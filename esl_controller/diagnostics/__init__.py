"""What an operator runs when calls do not work: `doctor`, `explain`, and the test call.

Lives here: the checks of the doctor, the reader of logs, the caller of `esl-controller call`, and
the one catalogue of known faults that they share.
May import everything below the command line (config, freeswitch, fusionpbx, agents, server, ...).
Never belongs here: what a call needs while it runs. Nothing but the command line imports this.
"""
