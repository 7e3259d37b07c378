"""greylord: recorded MajorMUD sessions in, a byte-level GPT-2 out."""

__version__ = "0.1.0"
__all__ = ["__version__"]
