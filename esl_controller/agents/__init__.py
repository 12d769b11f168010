"""Voice models: one module per vendor's API, all behind the two protocols in ``base.py``.

May import what the core shares (``call.agent``, ``call.events``), ``config``, ``media`` and
``secretaries.persona``. Never belongs here: who speaks when, FreeSWITCH, the record, the playing of
audio. The rest of the controller imports only ``base``, ``factory`` and ``probe``.
``connection``, ``openai_endpoint`` and ``wire`` are for what the ``openai`` package reaches:
another vendor's module brings its own connection. ``messages`` serves any API of JSON events.
"""
