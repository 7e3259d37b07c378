"""The start of a recording is parsed from its file name, in all known forms."""

from datetime import UTC, datetime

import pytest

from greylord.captures.start_times import parse_start


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2025-06-18T05-44-07-829_115a0843", datetime(2025, 6, 18, 5, 44, 7, 829_000, tzinfo=UTC)),
        ("1750709786_4efbc39e.log", datetime(2025, 6, 23, 20, 16, 26, tzinfo=UTC)),
        ("20250618_054407829.log", datetime(2025, 6, 18, 5, 44, 7, 829_000, tzinfo=UTC)),
        ("20250618T054407.829123Z", datetime(2025, 6, 18, 5, 44, 7, 829_000, tzinfo=UTC)),
        ("game (2025-06-18, 05.44).log", datetime(2025, 6, 18, 5, 44, tzinfo=UTC)),
        ("2025-06-18 (05-44-07).log", datetime(2025, 6, 18, 5, 44, 7, tzinfo=UTC)),
        ("2025-06-18_99-12.log", datetime(2025, 6, 18, tzinfo=UTC)),
        ("2025-13-41T05-44-07-829_x", None),
        ("session1.log", None),
        ("12345678901234.log", None),
        ("", None),
    ],
)
def test_the_start_is_parsed_from_the_name(name, expected):
    assert parse_start(name) == expected
