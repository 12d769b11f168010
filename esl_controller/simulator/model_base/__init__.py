"""What the two model stand-ins share: server, session, checks, record, faults, command line.

``model`` and ``live`` build on it and add their protocol. Imports ``media`` only; no event name of
one protocol belongs here, and nothing of the controller or of its agents.
"""
