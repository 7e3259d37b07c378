"""Sessions as turns, and turns as token ids."""
