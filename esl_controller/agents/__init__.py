"""Voice models behind one small interface."""
