"""OpenAI's voice models, and the servers that speak their APIs: Realtime and GPT-Live.

``realtime`` and ``gpt_live`` are the two models, ``realtime_events``, ``delegation`` and
``utterances`` what they need to read; ``endpoint`` names the server, ``connection`` is one
WebSocket to it, ``wire`` what the ``websockets`` package does below. May import what ``agents``
may, and ``agents.base`` and ``agents.messages``. Never belongs here: what another vendor needs.
"""
