"""The process around all calls: listening, shutting down, heartbeats, deliveries, logs, the web.

``app.py`` is the place to begin: it puts everything together. It may import ``session`` and the
adapters, which it makes once for all calls. No decision about a call is made here, and nothing here
is on the way of a call's audio. The stand-in model is reached through one door, ``stand_in.py``.
"""
