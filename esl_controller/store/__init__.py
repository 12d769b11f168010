"""The record of the calls, and the deliveries that wait, in SQLite or PostgreSQL.

``store.py`` is the door: ``put`` takes changes (``records.py``), which ``writing.py`` writes as the
SQL of ``statements.py``; ``reading.py`` reads. It may import ``config`` and, of ``call``, what is
recorded. Nothing that audio waits for belongs here: whoever puts a change never waits for the
database. Nor does sending what is due: that is ``server/outbox.py``.
"""

from esl_controller.store.errors import StoreError
from esl_controller.store.identity import NotThisCall
from esl_controller.store.reading import Reader, reading
from esl_controller.store.store import Store

__all__ = ["NotThisCall", "Reader", "Store", "StoreError", "reading"]
