"""Voice models: a package per vendor's API, all behind the two protocols in ``base.py``.

May import what the core shares (``call.agent``, ``call.agent_events``), ``config``, ``media`` and
``secretaries.persona``. Never belongs here: who speaks when, FreeSWITCH, the record, the playing of
audio. The rest of the controller imports only ``base``, ``chain``, ``factory`` and ``probe``;
``messages`` serves any API of JSON events. Another vendor's package stands beside ``openai``, with
a connection of its own.
"""
