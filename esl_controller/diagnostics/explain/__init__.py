"""`esl-controller explain`: finds the known faults in FreeSWITCH's log, and in the controller's.

Lives here: `reading` (files, pipes, a log that grows), `lines` (one line taken apart),
`logged_faults` (each fault once, with its calls), `report` and the command.
May import the catalogue, and the redaction of our own log. Never belongs here: what the faults are
(that is the catalogue's), and anything that asks FreeSWITCH, a database or the network.
"""
