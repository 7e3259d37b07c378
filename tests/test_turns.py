"""Sessions become turns, turns become ids, and ids become the same turns again."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greylord.captures.session import Direction, Record, Session
from greylord.stream import turns, vocabulary

records = st.lists(
    st.builds(
        Record,
        st.sampled_from(Direction),
        st.sampled_from([-11_300, -1, 0, 999, 1_000, 1_001, 5_000, 5_001, 22_735_906]),
        st.binary(max_size=12),
    ),
    max_size=30,
)


def slow_ids(session: Session, keep_records: bool) -> list[int]:
    ids, sender = [vocabulary.PAD], None
    for index, record in enumerate(session):
        delay = 0 if index == 0 else record.delay_ms
        name = "short" if delay <= 1_000 else "medium" if delay <= 5_000 else "long"
        if keep_records or record.direction != sender or name != "short":
            names = ["<|client|>", "<|server|>"][record.direction], f"<|delay_{name}|>"
            ids += [vocabulary.vocab_to_int()[token] for token in names]
        ids += record.payload
        sender = record.direction
    return ids


@given(records, st.booleans())
def test_ids_are_those_of_a_slow_encoder(rows, keep_records):
    session = Session.from_records(rows)
    ids = turns.encode(session, keep_records)
    assert ids.dtype == np.uint16
    assert ids.tolist() == slow_ids(session, keep_records)


@given(records, st.booleans())
def test_decoding_gives_back_the_turns(rows, keep_records):
    expected = turns.turns_of(Session.from_records(rows), keep_records)
    decoded = turns.decode(turns.encode_turns(expected))
    for column in ("payload", "ends", "directions", "delays"):
        assert getattr(decoded, column).tolist() == getattr(expected, column).tolist()


@given(st.lists(st.sampled_from([0, 65, 255, *range(256, 262)]), max_size=8))
def test_decoding_accepts_turns_and_nothing_else(ids):
    text = "".join({256: "p", 257: "d", 258: "d", 259: "w", 260: "w", 261: "w"}.get(token, "b") for token in ids)
    if re.fullmatch("p(dwb*)*", text):
        assert turns.encode_turns(turns.decode(np.array(ids, np.uint16))).tolist() == ids
    else:
        with pytest.raises(ValueError):
            turns.decode(np.array(ids, np.uint16))
