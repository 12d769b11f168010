"""The decisions of one call, as plain synchronous code: events go in, actions come out.

``machine.py`` is the call, ``conversation.py`` what is said in it; the other modules are their
parts. Time is an argument, a deadline a return value. What belongs to the call but not to its
decisions (audio, connections, the database) lives in ``session/``. May be imported here: the
standard library's data types, pydantic, jsonschema, and ``secretaries``, whose schema says what a
secretary wants. Never belong here: asyncio, sockets, clocks, randomness, audio, a vendor's API,
FreeSWITCH's commands. import-linter keeps these boundaries (pyproject.toml).
"""
