"""Hostile input by the hundred thousand: mutated from what is right, the same for the same seed.

``mutation`` makes it, ``targets`` says where it goes. ``make fuzz`` tries 100,000 messages of each
kind, the tests 2,000. What once escaped stays in ``escaped/`` and is tried each time.
"""
