"""The command line: ``main.py`` runs the commands, ``arguments.py`` parses them.

It may import every other package, but only inside the function that runs a command: help and the
quick commands must not load the rest. What a command does never belongs here, only which arguments
it has, which function it calls, and how a mistake is printed.
"""
