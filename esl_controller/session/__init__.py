"""The shell of one call: does what ``call`` decides, and reports what came of it.

``session.py`` is the place to begin; each call has one ``CallSession``. Here are tasks, sockets and
clocks, and no decision about the call. It may import ``call`` and the adapters that it puts
together (``freeswitch``, ``agents``' interface, ``store``'s records, ``media``). It never knows a
vendor of models, a database, or another call: what calls share comes in as ``Dependencies``.
"""
