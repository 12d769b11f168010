"""Settings: their types and help (``settings.py``), and reading them from TOML and the environment.

It may import the standard library and pydantic, and nothing of this project. The files of the
secretaries share its types and its TOML reader, whose mistakes name a file and a line; every
command that prints for a terminal shares ``terminal.py``. What a setting causes never belongs here:
whoever needs a setting reads it.
"""
