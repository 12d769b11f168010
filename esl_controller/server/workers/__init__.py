"""Several processes as one controller: ``serve --workers N``.

A process has one clock and one event loop, so it has the work of one core. The supervisor
(``supervisor.py``) takes no calls itself. It starts the workers, replaces those that die or stand
still, and answers over HTTP for all of them (``front.py``). ``crew.py`` decides which there should
be, ``slots.py`` keeps what each of them opens apart.

A worker is ``serve`` with some settings in its environment and ``worker.py`` before it. The
supervisor is to its workers what systemd is to the supervisor: they tell it by sd_notify(3) that
they are ready and alive. They share the Event Socket's port, among which the kernel deals out new
calls, and the record, by which any of them takes up a call that another one has lost.

One process more than needed is always there, with everything imported and nothing open. It takes
the place of a worker that has died, within a tenth of a second instead of the two that imports
take; and it is how the workers are replaced one by one without a moment in which there is one less.
"""
