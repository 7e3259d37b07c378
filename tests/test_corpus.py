"""The corpus: what is in it, how it is divided, and when it is built again."""

import itertools
import json
import os
import shutil
from datetime import timedelta
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pytest
from helpers import START, write_recording
from hypothesis import given
from hypothesis import strategies as st

from greylord.captures import redaction
from greylord.captures.formats import proxylog
from greylord.captures.reading import read_session
from greylord.captures.session import Direction, Record, Session
from greylord.captures.start_times import parse_start
from greylord.corpus import build, reading, segments, split
from greylord.corpus.manifest import Manifest
from greylord.corpus.windows import Rows, row_arrays
from greylord.errors import GreylordError
from greylord.stream import turns


@pytest.fixture
def dataset(workplace) -> Path:
    """Six recordings in four time groups, and a file that is none."""
    folder = workplace / "data" / "game"
    for seed, hours in enumerate([0, 0.5, 1.4, 5, 10, 30]):
        write_recording(folder / ("a" if seed % 2 else "b"), START + timedelta(hours=hours), seed, 20 + 10 * seed)
    (folder / "change.log").write_text("[2025-07-07] COPY: 1725 files")
    return Path("data/game")


def without_credentials(session: Session) -> bytes:
    return redaction.mask(session, redaction.find(session)).payload.tobytes()


def payloads(ids: np.ndarray) -> bytes:
    return turns.decode(np.asarray(ids)).payload.tobytes()


def test_segments_end_to_end_are_the_rows(dataset, workplace, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_TOKENS", 100)
    build.refresh(dataset)
    corpus = build.corpus_of(dataset)
    for split_name, file in zip(build.SPLITS, segments.write(corpus, workplace / "shared"), strict=True):
        found = datasets.Dataset.from_parquet(str(file), cache_dir=str(workplace / "cache"), keep_in_memory=True)
        assert found.features == segments.FEATURES
        recordings = {}
        for segment in found:
            ids = recordings.setdefault(segment["name"], [])
            assert segment["offset"] == len(ids) and len(segment["input_ids"]) <= 100
            ids += segment["input_ids"]
        expected = datasets.load_from_disk(str(corpus))[split_name]
        assert recordings == dict(zip(expected["name"], expected["input_ids"], strict=True))
        assert len(found) > len(expected)


def test_each_recording_is_one_row_with_all_its_bytes(dataset):
    manifest, built = build.refresh(dataset)
    assert built and manifest.skipped == ["change.log"]
    corpus = datasets.load_from_disk(str(build.corpus_of(dataset)))
    assert {name: part.num_rows for name, part in corpus.items()} == {
        name: counts.recordings for name, counts in manifest.splits.items()
    }
    rows = [row for part in corpus.values() for row in part]
    assert len(rows) == 6
    for row in rows:
        session = read_session(dataset / row["name"], keep_credentials=True)
        assert payloads(np.array(row["input_ids"])) == without_credentials(session)
        assert row["server_bytes"] + row["client_bytes"] == len(session.payload)
        assert row["started_at"] == parse_start(Path(row["name"]).name)
        assert row["records"] == len(session)
    assert corpus["train"].features["input_ids"] == datasets.List(datasets.Value("uint16"))
    assert [path.name for path in Path("corpora").iterdir()] == ["game"]


def test_the_manifest_counts_what_the_rows_hold(dataset):
    manifest, _ = build.refresh(dataset)
    assert Manifest.read(build.corpus_of(dataset)) == manifest
    for name, counts in manifest.splits.items():
        rows = list(Rows(build.corpus_of(dataset), name))
        decoded = [turns.decode(row) for row in rows]
        assert counts.turns == sum(map(len, decoded))
        assert counts.payload_bytes == sum(len(each.payload) for each in decoded)
        assert counts.tokens == counts.payload_bytes + 2 * counts.turns
    sessions = [read_session(dataset / entry.name, keep_credentials=True) for entry in manifest.recordings]
    counts = manifest.dialects["v3"]
    assert counts.recordings == 6
    assert counts.records.client == sum(record.direction == Direction.CLIENT for each in sessions for record in each)
    assert counts.payload_bytes.server == sum(
        len(record.payload) for each in sessions for record in each if record.direction == Direction.SERVER
    )


def test_a_corpus_is_built_again_only_if_contents_or_settings_change(dataset):
    first, _ = build.refresh(dataset)
    assert build.refresh(dataset) == (first, False)
    assert build.refresh(dataset, keep_records=True)[1]
    kept, built = build.refresh(dataset)
    assert not built and kept.settings.keep_records
    path = next(path for path in dataset.rglob("*.log") if path.name != "change.log")
    path.touch()
    assert not build.refresh(dataset)[1]
    path.write_bytes(path.read_bytes() + b"<|client|><|delay#0.100|>look\r")
    changed, built = build.refresh(dataset)
    assert built and changed.content_hash != kept.content_hash


def test_credentials_are_masked_unless_they_are_to_be_kept(dataset):
    said = [
        Record(Direction.SERVER, 0, b"Enter your password: "),
        Record(Direction.CLIENT, 0, b"hush"),
        Record(Direction.CLIENT, 0, b"-9\r"),
        Record(Direction.SERVER, 0, b"******\r\nWelcome.\r\n"),
    ]
    path = dataset / f"{int(START.timestamp())}_login.log"
    with path.open("wb") as target:
        proxylog.write(said, target)

    def corpus() -> bytes:
        parts = (Rows(build.corpus_of(dataset), name) for name in build.SPLITS)
        return b"".join(payloads(row) for part in parts for row in part)

    whole = sum(len(read_session(path, keep_credentials=True).payload) for path in dataset.rglob("*_*.log"))
    manifest, _ = build.refresh(dataset)
    assert not manifest.settings.keep_credentials
    assert (manifest.dialects["v3"].logins, manifest.dialects["v3"].credential_bytes) == (1, 6)
    assert b"password: ******\r******\r\nWelcome" in corpus() and b"hush" not in corpus() and len(corpus()) == whole
    kept, built = build.refresh(dataset, keep_credentials=True)
    assert built and kept.settings.keep_credentials and kept.content_hash != manifest.content_hash
    assert b"password: hush-9\r******\r\nWelcome" in corpus() and len(corpus()) == whole
    assert build.refresh(dataset) == (kept, False)
    again, built = build.refresh(dataset, keep_credentials=False)
    assert built and again.content_hash == manifest.content_hash and b"hush" not in corpus()


def test_a_failed_build_leaves_the_old_corpus(dataset, monkeypatch):
    build.refresh(dataset)
    before = {path: path.read_bytes() for path in Path("corpora").rglob("*") if path.is_file()}

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build._SplitWriter, "close", fail)
    with pytest.raises(OSError):
        build.refresh(dataset, val_split=0.5)
    assert {path: path.read_bytes() for path in Path("corpora").rglob("*") if path.is_file()} == before


def built(folder: Path) -> dict[str, bytes]:
    """The files of a corpus by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_several_processes_build_the_same_corpus(dataset, monkeypatch):
    build.refresh(dataset)
    alone = built(build.corpus_of(dataset))
    shutil.rmtree("corpora")
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 1)
    monkeypatch.setattr(reading, "MAX_PROCESSES", 2)
    monkeypatch.setattr(reading.os, "cpu_count", lambda: 2)
    # This process has nothing to read by itself.
    monkeypatch.setattr(reading, "read_recording", None)
    build.refresh(dataset)
    assert built(build.corpus_of(dataset)) == alone


def test_a_process_that_is_killed_is_done_without(dataset, monkeypatch):
    build.refresh(dataset)
    alone = built(build.corpus_of(dataset))
    shutil.rmtree("corpora")
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 1)
    monkeypatch.setattr(reading.os, "cpu_count", lambda: 2)
    # What a process begins with ends it.
    monkeypatch.setattr(reading, "_leave_interrupts", partial(os._exit, 1))
    build.refresh(dataset)
    assert built(build.corpus_of(dataset)) == alone


def test_groups_of_players_stay_together(dataset):
    manifest, _ = build.refresh(dataset)
    sides = {}
    for entry in manifest.recordings:
        sides.setdefault(entry.group, set()).add(entry.split)
    assert manifest.groups == 4 and not manifest.cut
    assert all(len(side) == 1 for side in sides.values())
    assert {"train", "validation"} == set.union(*sides.values())


def test_few_groups_are_cut_at_their_ends_with_a_gap(workplace):
    folder = workplace / "data" / "one"
    for seed in range(2):
        write_recording(folder, START, seed, 400)
    manifest, _ = build.refresh(Path("data/one"))
    assert manifest.cut and manifest.gap_tokens > 0
    for entry, train, validation in zip(
        manifest.recordings,
        Rows(Path("corpora/one"), "train"),
        Rows(Path("corpora/one"), "validation"),
        strict=True,
    ):
        whole = read_session(folder / entry.name, keep_credentials=True).payload.tobytes()
        head, tail = payloads(train), payloads(validation)
        assert whole.startswith(head) and whole.endswith(tail) and len(head) + len(tail) < len(whole)
        assert 0.15 < len(tail) / len(whole) < 0.25


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "is empty"),
        ({"a.txt": b"hello", "b": b""}, "None of the 2 files"),
        ({"a.log": b"<|server|><|delay#0.1|>welcome"}, "too little to divide"),
    ],
)
def test_what_cannot_be_built_is_one_sentence_and_leaves_nothing(workplace, files, sentence):
    Path("data/bad").mkdir(parents=True)
    for name, content in files.items():
        Path("data/bad", name).write_bytes(content)
    with pytest.raises(GreylordError, match=sentence):
        build.refresh(Path("data/bad"))
    assert not list(Path("corpora").glob("*"))


def test_an_index_mapping_is_refused(dataset):
    build.refresh(dataset)
    part = datasets.load_from_disk(str(build.corpus_of(dataset) / "train"))
    with pytest.raises(ValueError, match="index mapping"):
        row_arrays(part.select([1, 0]))
    sliced = part.select([1, 0]).flatten_indices()
    assert [len(row) for row in row_arrays(sliced)] == [len(row["input_ids"]) for row in sliced]


def test_compressed_recordings_are_named(dataset):
    path = write_recording(dataset, START + timedelta(days=3), 77)
    assert build.refresh(dataset)[0].compressed == []
    path.write_bytes(path.read_bytes() + b"<|server|><|delay#0.1|>\xff\xfa\x56\xff\xf0\x78\x9c")
    assert build.refresh(dataset)[0].compressed == [path.name]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"ARROW1")])
def test_a_damaged_corpus_is_one_sentence(dataset, damage):
    build.refresh(dataset)
    damage(build.corpus_of(dataset) / "train" / build.ARROW_NAME)
    with pytest.raises(GreylordError, match="delete it and build it again"):
        Rows(build.corpus_of(dataset), "train")


def test_large_rows_do_not_share_a_batch(dataset, monkeypatch):
    monkeypatch.setattr(build, "BATCH_BYTES", 3_000)
    manifest, _ = build.refresh(dataset)
    column = datasets.load_from_disk(str(build.corpus_of(dataset)))["train"].data.column("input_ids")
    assert column.num_chunks > 1
    assert all(len(chunk) == 1 or chunk.values.nbytes <= 3_000 for chunk in column.chunks)
    rows = Rows(build.corpus_of(dataset), "train")
    names = [entry.name for entry in manifest.recordings if entry.split == "train"]
    assert [payloads(row) for row in rows] == [
        without_credentials(read_session(dataset / name, keep_credentials=True)) for name in names
    ]


times = st.lists(st.one_of(st.none(), st.integers(0, 10**5).map(lambda s: START + timedelta(seconds=s))), max_size=12)


@given(times)
def test_starts_within_an_hour_chain(starts):
    groups = split.time_groups(starts)
    for one, group in zip(starts, groups, strict=True):
        for other, its_group in zip(starts, groups, strict=True):
            if one is None or other is None:
                assert (group == its_group) == (one is other)
            elif abs(one - other) <= timedelta(hours=1):
                assert group == its_group
    for group in set(groups):
        members = sorted(start for start, its in zip(starts, groups, strict=True) if its == group and start)
        assert all(b - a <= timedelta(hours=1) for a, b in itertools.pairwise(members))
    assert sorted(set(groups)) == list(range(len(set(groups))))


@given(st.lists(st.integers(1, 10**6), min_size=split.MIN_GROUPS, max_size=30), st.integers(0, 99))
def test_both_sides_get_a_group_and_more_would_be_further_off(sizes, seed):
    chosen = split.choose_validation(sizes, 0.2, seed)
    assert chosen == split.choose_validation(sizes, 0.2, seed)
    assert 0 < len(chosen) < len(sizes)
    held, goal = sum(sizes[group] for group in chosen), 0.2 * sum(sizes)
    smallest = min(size for group, size in enumerate(sizes) if group not in chosen)
    assert abs(held + smallest - goal) >= abs(held - goal) or held < goal


payload = st.binary(min_size=1, max_size=40)


@given(st.lists(payload, max_size=60), st.floats(0.05, 0.8))
def test_a_cut_recording_loses_only_the_gap(parts, fraction):
    session = Session.from_records(Record(Direction(i % 2), 0, part) for i, part in enumerate(parts))
    whole = turns.turns_of(session)
    ids = turns.encode(whole)
    end, begin = split.cut_tail(ids, fraction)
    train, validation = turns.decode(ids[:end]), turns.decode(np.append(ids[:1], ids[begin:]))
    head, tail = train.payload.tobytes(), validation.payload.tobytes()
    everything = b"".join(parts)
    assert everything.startswith(head) and everything.endswith(tail)
    assert begin - end == len(everything) - len(head) - len(tail) + 2 * (len(whole) - len(train) - len(validation))
    assert begin >= end
    # A twentieth of fewer tokens is none.
    if len(train) and len(validation) and len(everything) + 2 * len(whole) >= 20:
        assert begin > end


def test_the_manifest_is_plain_json(dataset):
    build.refresh(dataset)
    content = json.loads((build.corpus_of(dataset) / "manifest.json").read_text())
    assert content["dialects"]["v3"]["junk_bytes"] == {"0": sum(content["dialects"]["v3"]["records"].values())}
