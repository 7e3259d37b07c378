"""Sessions as turns, and turns as token ids.

From a log to tokens: `captures.reading` reads a file and masks its passwords, `turns.encode` makes token ids of the
session, and `corpus.build` writes the ids of all recordings to an Arrow corpus.
"""
