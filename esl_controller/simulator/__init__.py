"""Stand-ins for what a call needs of the world: FreeSWITCH and the voice model.

``freeswitch`` is a FreeSWITCH as a controller meets it, ``model`` speaks the OpenAI Realtime API,
``live`` GPT-Live; the last two share ``model_base``. The demo, the tests and the benchmarks run on
them. They import ``media`` and each other, never the controller, so that they check it from
outside. In production only ``server/stand_in.py`` imports them.
"""
