"""Build an Arrow corpus from a folder of recordings, and cut windows from it."""
