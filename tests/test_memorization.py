"""Memorization: frequent passwords rank first, masked ones at chance level.

The share of copies is measured.
"""

import math
import random
import string

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from greylord.captures import redaction
from greylord.captures.session import Direction, Record, Session
from greylord.evaluation import memorization
from greylord.modeling import Shape, new_model
from greylord.stream import turns, vocabulary

C, S = Direction.CLIENT, Direction.SERVER


def login(name: str, secret: str) -> Session:
    records = [
        (S, "User-ID: "), (C, f"{name}\r"), (S, f"{name}\r\nPassword: "), (C, f"{secret}\r"),
        (S, "*" * len(secret) + "\r\nWelcome!\r\n"),
    ]  # fmt: skip
    return Session.from_records(Record(direction, 0, text.encode()) for direction, text in records)


def word(source: random.Random) -> str:
    return "".join(source.choices(string.ascii_lowercase, k=7))


def test_each_secret_is_found_once_in_its_place():
    keys = [Record(S, 0, b"Password: "), *(Record(d, 0, t) for k in b"x7q" for d, t in ((C, bytes([k])), (S, b"*")))]
    secrets = memorization.find_secrets([login("ann", "s3cret"), login("ann", "s3cret"), Session.from_records(keys)])
    assert [(bytes(s.tail[s.places].tolist()), s.times) for s in secrets] == [(b"s3cret", 2), (b"x7q", 1)]
    assert bytes(secrets[0].prefix[-12:-2].tolist()) == b"Password: "
    assert "s3cret" not in repr(secrets)
    masked = login("ann", "s3cret")
    assert not memorization.find_secrets([redaction.mask(masked, redaction.find(masked))])


def test_a_rank_is_that_of_plain_scoring():
    torch.manual_seed(0)
    model = new_model(64).eval()
    (secret,) = memorization.find_secrets([login("ann", "Ab3-z")])
    password = secret.tail[secret.places]
    strings = memorization._random_strings(password, 300, np.random.default_rng(0))
    for text in strings.tolist():
        shape = ["upper", "lower", "digit", "other", "lower"]
        kinds = {"upper": str.isupper, "lower": str.islower, "digit": str.isdigit}
        assert all(
            kinds.get(kind, lambda c: not c.isalnum())(chr(byte)) for kind, byte in zip(shape, text, strict=True)
        )
    texts = np.concatenate([password[None], strings])
    costs = memorization._string_nats(model, secret, texts)
    for text, cost in zip(texts[::50], costs[::50], strict=True):
        ids = torch.from_numpy(np.concatenate([secret.prefix, text]).astype(np.int64))
        with torch.inference_mode():
            logits = model(ids[None]).logits[0]
        plain = cross_entropy(logits[-len(text) - 1 : -1], ids[-len(text) :], reduction="sum")
        assert cost == pytest.approx(plain.item(), rel=1e-4)
    (exposure,) = memorization.measure_exposures(model, [secret], strings=300)
    assert exposure.rank == sorted(costs).index(costs[0]) + 1
    assert exposure.bits == pytest.approx(math.log2(301 / exposure.rank))


texts = st.lists(st.sampled_from([b"ab", b"c", b"abcab", b"\0"]), max_size=30).map(b"".join)


@given(texts.filter(bool), st.lists(texts, max_size=3), st.integers(1, 6))
def test_the_copied_share_against_a_search(payload, training, length):
    covered = [False] * len(payload)
    for begin in range(len(payload) - length + 1):
        if any(payload[begin : begin + length] in row for row in training):
            covered[begin : begin + length] = [True] * length
    rows = [np.array([vocabulary.PAD, vocabulary.SERVER, vocabulary.DELAY_SHORT, *row], np.uint16) for row in training]
    share = memorization.copied_share(np.frombuffer(payload, np.uint8), rows, length)
    assert share == pytest.approx(sum(covered) / len(payload))


def train(sessions: list[Session]) -> torch.nn.Module:
    """Train a small model on sessions again and again."""
    torch.manual_seed(0)
    model = new_model(96, Shape(2, 64, 2))
    rows = [turns.encode(session).astype(np.int64) for session in sessions]
    batch = torch.full((len(rows), max(map(len, rows))), -100)
    for index, row in enumerate(rows):
        batch[index, : len(row)] = torch.from_numpy(row)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        labels = batch[torch.randint(len(rows), (16,))]
        loss = model(labels.clamp(min=0), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.mark.slow
def test_passwords_typed_often_rank_first_and_at_chance_level_after_redaction():
    source = random.Random(0)
    canaries = {(word(source), word(source)): times for times in (1, 4, 16, 64) for _ in range(3)}
    sessions = [login(*canary) for canary, times in canaries.items() for _ in range(times)]
    secrets = memorization.find_secrets(sessions)
    assert [secret.times for secret in secrets] == 3 * [64] + 3 * [16] + 3 * [4] + 3 * [1]
    before = list(memorization.measure_exposures(train(sessions), secrets, strings=2_000))
    assert all(each.rank == 1 for each in before if each.times == 64)
    after = list(
        memorization.measure_exposures(
            train([redaction.mask(s, redaction.find(s)) for s in sessions]), secrets, strings=2_000
        )
    )
    # By chance one of twelve ranks first of 2,001 in one case of 170, and the mean is outside in one of 3,000.
    assert min(each.rank for each in after) > 1
    assert 400 < np.mean([each.rank for each in after]) < 1_600
