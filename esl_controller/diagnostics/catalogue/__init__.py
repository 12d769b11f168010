"""The known faults, each described once: how it shows in a log, what it means, what to do.

`explain` looks for all of them; the doctor takes a fault's meaning and remedy from here where it
finds the same one; the table in the operators' pages is held against it by a test.
Imports nothing of the project. No logic belongs here, and no fault that only a check can find,
whose text depends on what was found: that text stays with its check in doctor/.
"""
