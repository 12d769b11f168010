"""Secretaries: who answers the phone, how, and what it may do. One TOML file each.

``secretary.py`` and ``schema.py`` describe one, ``reading.py`` and ``folder.py`` read them while
they change, ``prompt.py`` says what the model is told. They may import ``config``; ``call`` imports
them, never the reverse. What is done in a call never belongs here, nor a vendor's words.
"""
