"""Our extension among the dialplans of a FusionPBX: installed, shown, removed, inspected.

Lives here: FusionPBX's configuration, its two tables as rows, the statements that change them, its
cache, what its switch has to be told, and the command `esl-controller fusionpbx`.
May import `config`, `freeswitch` and `terminal`; SQL is written by SQLAlchemy only (`statements`).
Never belongs here: anything that a call needs while it runs, or a table that is not FusionPBX's.
"""
