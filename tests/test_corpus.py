"""The corpus: its rows, its split, its manifest, and when it is built again."""

import itertools
import json
import os
import shutil
from dataclasses import replace
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
from greylord.corpus import arrow, reading, segments, split
from greylord.corpus.build import build_corpus, corpus_of
from greylord.corpus.manifest import Manifest, describe_corpus
from greylord.corpus.windows import Rows, row_arrays
from greylord.errors import EmptyDatasetError, GreylordError, SettingError
from greylord.stream import turns
from greylord.workspace import Workspace


@pytest.fixture
def dataset(workplace) -> Path:
    """A dataset of six recordings in four time groups, and one other file."""
    folder = workplace / "data" / "game"
    for seed, hours in enumerate([0, 0.5, 1.4, 5, 10, 30]):
        write_recording(folder / ("a" if seed % 2 else "b"), START + timedelta(hours=hours), seed, 20 + 10 * seed)
    (folder / "change.log").write_text("[2025-07-07] COPY: 1725 files")
    return Path("data/game")


def masked_payload(session: Session) -> bytes:
    return redaction.mask(session, redaction.find(session)).payload.tobytes()


def payload_of(ids: np.ndarray) -> bytes:
    return turns.decode(np.asarray(ids)).payload.tobytes()


def test_segments_in_order_are_the_rows(dataset, workplace, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_TOKENS", 100)
    corpus = build_corpus(dataset).folder
    for split_name, file in zip(arrow.SPLITS, segments.write(corpus, workplace / "shared"), strict=True):
        table = datasets.Dataset.from_parquet(str(file), cache_dir=str(workplace / "cache"), keep_in_memory=True)
        assert table.features == segments.FEATURES
        recordings = {}
        for segment in table:
            ids = recordings.setdefault(segment["name"], [])
            assert segment["offset"] == len(ids) and len(segment["input_ids"]) <= 100
            ids += segment["input_ids"]
        expected = datasets.load_from_disk(str(corpus))[split_name]
        assert recordings == dict(zip(expected["name"], expected["input_ids"], strict=True))
        assert len(table) > len(expected)


def test_each_recording_is_one_row_with_all_its_bytes(dataset):
    corpus = build_corpus(dataset)
    assert (corpus.folder, corpus.dataset) == (Path("corpora/game"), dataset)
    assert corpus.is_new and corpus.manifest.skipped == ["change.log"]
    stock = datasets.load_from_disk(str(corpus.folder))
    assert {name: part.num_rows for name, part in stock.items()} == {
        name: counts.recordings for name, counts in corpus.manifest.splits.items()
    }
    assert [list(corpus.train), list(corpus.validation)] == [list(part) for part in stock.values()]
    rows = [row for part in stock.values() for row in part]
    assert len(rows) == 6
    for row in rows:
        session = read_session(dataset / row["name"], keep_credentials=True)
        assert payload_of(np.array(row["input_ids"])) == masked_payload(session)
        assert row["server_bytes"] + row["client_bytes"] == len(session.payload)
        assert row["started_at"] == parse_start(Path(row["name"]).name)
        assert row["records"] == len(session)
    assert corpus.train.features["input_ids"] == datasets.List(datasets.Value("uint16"))
    assert [path.name for path in Path("corpora").iterdir()] == ["game"]


def test_the_manifest_counts_what_the_rows_hold(dataset):
    manifest = build_corpus(dataset).manifest
    assert Manifest.read(corpus_of(dataset)) == manifest
    for name, counts in manifest.splits.items():
        rows = list(Rows(corpus_of(dataset), name))
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
    first = build_corpus(dataset)
    assert first.is_new and build_corpus(dataset) == replace(first, is_new=False)
    assert build_corpus(dataset, keep_records=True).is_new
    kept = build_corpus(dataset)
    assert not kept.is_new and kept.manifest.settings.keep_records
    path = next(path for path in dataset.rglob("*.log") if path.name != "change.log")
    path.touch()
    assert not build_corpus(dataset).is_new
    path.write_bytes(path.read_bytes() + b"<|client|><|delay#0.100|>look\r")
    changed = build_corpus(dataset)
    assert changed.is_new and changed.manifest.content_hash != kept.manifest.content_hash


def test_credentials_are_masked_unless_they_are_to_be_kept(dataset):
    records = [
        Record(Direction.SERVER, 0, b"Enter your password: "),
        Record(Direction.CLIENT, 0, b"hush"),
        Record(Direction.CLIENT, 0, b"-9\r"),
        Record(Direction.SERVER, 0, b"******\r\nWelcome.\r\n"),
    ]
    path = dataset / f"{int(START.timestamp())}_login.log"
    with path.open("wb") as target:
        proxylog.write(records, target)

    def corpus_payload() -> bytes:
        parts = (Rows(corpus_of(dataset), name) for name in arrow.SPLITS)
        return b"".join(payload_of(row) for part in parts for row in part)

    whole = sum(len(read_session(path, keep_credentials=True).payload) for path in dataset.rglob("*_*.log"))
    manifest = build_corpus(dataset).manifest
    assert not manifest.settings.keep_credentials
    assert (manifest.dialects["v3"].logins, manifest.dialects["v3"].credential_bytes) == (1, 6)
    assert b"password: ******\r******\r\nWelcome" in corpus_payload()
    assert b"hush" not in corpus_payload() and len(corpus_payload()) == whole
    kept = build_corpus(dataset, keep_credentials=True)
    assert kept.is_new and kept.manifest.settings.keep_credentials
    assert kept.manifest.content_hash != manifest.content_hash
    assert b"password: hush-9\r******\r\nWelcome" in corpus_payload() and len(corpus_payload()) == whole
    assert build_corpus(dataset) == replace(kept, is_new=False)
    again = build_corpus(dataset, keep_credentials=False)
    assert again.is_new and again.manifest.content_hash == manifest.content_hash
    assert b"hush" not in corpus_payload()


def test_a_failed_build_leaves_the_old_corpus(dataset, monkeypatch):
    build_corpus(dataset)
    before = files_in(Path("corpora"))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(arrow.SplitWriter, "close", fail)
    with pytest.raises(OSError):
        build_corpus(dataset, val_split=0.5)
    assert files_in(Path("corpora")) == before


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_several_processes_build_the_same_corpus(dataset, monkeypatch):
    build_corpus(dataset)
    alone = files_in(corpus_of(dataset))
    shutil.rmtree("corpora")
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 1)
    monkeypatch.setattr(reading, "MAX_PROCESSES", 2)
    monkeypatch.setattr(reading.os, "cpu_count", lambda: 2)
    # Fails if this process reads.
    monkeypatch.setattr(reading, "read_recording", None)
    build_corpus(dataset)
    assert files_in(corpus_of(dataset)) == alone


def test_recordings_of_a_killed_process_are_read_by_this_one(dataset, monkeypatch):
    build_corpus(dataset)
    alone = files_in(corpus_of(dataset))
    shutil.rmtree("corpora")
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 1)
    monkeypatch.setattr(reading.os, "cpu_count", lambda: 2)
    # Each process dies when it starts.
    monkeypatch.setattr(reading, "_ignore_interrupts", partial(os._exit, 1))
    build_corpus(dataset)
    assert files_in(corpus_of(dataset)) == alone


def test_groups_of_players_stay_together(dataset):
    manifest = build_corpus(dataset).manifest
    splits = {}
    for entry in manifest.recordings:
        splits.setdefault(entry.group, set()).add(entry.split)
    assert manifest.groups == 4 and not manifest.cut
    assert all(len(each) == 1 for each in splits.values())
    assert {"train", "validation"} == set.union(*splits.values())


def test_few_groups_are_cut_at_their_ends_with_a_gap(workplace):
    folder = workplace / "data" / "one"
    for seed in range(2):
        write_recording(folder, START, seed, 400)
    manifest = build_corpus(Path("data/one")).manifest
    assert manifest.cut and manifest.gap_tokens > 0
    for entry, train, validation in zip(
        manifest.recordings,
        Rows(Path("corpora/one"), "train"),
        Rows(Path("corpora/one"), "validation"),
        strict=True,
    ):
        whole = read_session(folder / entry.name, keep_credentials=True).payload.tobytes()
        head, tail = payload_of(train), payload_of(validation)
        assert whole.startswith(head) and whole.endswith(tail) and len(head) + len(tail) < len(whole)
        assert 0.15 < len(tail) / len(whole) < 0.25


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "'data/bad' is empty"),
        ({"a.txt": b"hello", "b": b""}, "2 files of 'bad'"),
        ({"a.log": b"<|server|><|delay#0.1|>welcome"}, "1 recording with 7 bytes"),
    ],
)
def test_a_corpus_that_cannot_be_built_is_one_sentence_and_leaves_nothing(workplace, files, sentence):
    Path("data/bad").mkdir(parents=True)
    for name, content in files.items():
        Path("data/bad", name).write_bytes(content)
    with pytest.raises(GreylordError, match=sentence) as raised:
        build_corpus("bad")
    assert (raised.type is EmptyDatasetError) == (not files)
    assert not list(Path("corpora").glob("*"))


@pytest.mark.parametrize("val_split", [0.0, 1, 20.0])
def test_a_share_out_of_range_is_refused(dataset, val_split):
    with pytest.raises(SettingError, match=f"val_split must .* {val_split}") as raised:
        build_corpus(dataset, val_split=val_split)
    assert raised.value.settings == ("val_split",)


def test_corpora_are_built_in_their_workspace(dataset, workplace, monkeypatch):
    expected = build_corpus(dataset)
    ids = list(expected.train["input_ids"])
    before = files_in(workplace)
    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    workspace = Workspace(Path(".."))
    corpus = build_corpus("game", workspace=workspace)
    assert not corpus.is_new and corpus.manifest == expected.manifest
    assert (corpus.folder, corpus.dataset) == (Path("../corpora/game"), Path("../data/game"))
    assert files_in(workplace) == before
    other = build_corpus(Path("../data/game"), workspace=Workspace(workplace / "other"))
    assert other.is_new and other.folder.parent == workplace / "other" / "corpora"
    assert list(other.train["input_ids"]) == ids
    assert not list(Path().iterdir())


def test_a_corpus_is_described_in_a_line(dataset):
    corpus = build_corpus(dataset, keep_credentials=True)
    line = describe_corpus(corpus.folder, corpus.manifest, corpus.is_new)
    assert "\n" not in line and line.startswith("corpora/game (built)")
    for name, counts in corpus.manifest.splits.items():
        assert f"{name} {counts.recordings} recording" in line
    assert "1 file left out" in line and str(corpus.folder / "manifest.json") in line and "PASSWORDS" in line
    one_group = replace(corpus.manifest, cut=True, groups=1, skipped=[])
    assert "1 time group" in describe_corpus(corpus.folder, one_group, False)
    assert "manifest.json" not in describe_corpus(corpus.folder, one_group, False)


def test_an_index_mapping_is_refused(dataset):
    build_corpus(dataset)
    part = datasets.load_from_disk(str(corpus_of(dataset) / "train"))
    with pytest.raises(ValueError, match="index mapping"):
        row_arrays(part.select([1, 0]))
    sliced = part.select([1, 0]).flatten_indices()
    assert [len(row) for row in row_arrays(sliced)] == [len(row["input_ids"]) for row in sliced]


def test_compressed_recordings_are_named(dataset):
    path = write_recording(dataset, START + timedelta(days=3), 77)
    assert build_corpus(dataset).manifest.compressed == []
    path.write_bytes(path.read_bytes() + b"<|server|><|delay#0.1|>\xff\xfa\x56\xff\xf0\x78\x9c")
    assert build_corpus(dataset).manifest.compressed == [path.name]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"ARROW1")])
def test_a_damaged_corpus_is_one_sentence(dataset, damage):
    build_corpus(dataset)
    damage(corpus_of(dataset) / "train" / arrow.ARROW_NAME)
    with pytest.raises(GreylordError, match="'corpora/game' is not a readable corpus"):
        Rows(corpus_of(dataset), "train")
    with pytest.raises(GreylordError, match="'corpora/game' is not a readable corpus"):
        _ = build_corpus(dataset).train


def test_large_rows_do_not_share_a_batch(dataset, monkeypatch):
    monkeypatch.setattr(arrow, "BATCH_BYTES", 3_000)
    manifest = build_corpus(dataset).manifest
    column = datasets.load_from_disk(str(corpus_of(dataset)))["train"].data.column("input_ids")
    assert column.num_chunks > 1
    assert all(len(chunk) == 1 or chunk.values.nbytes <= 3_000 for chunk in column.chunks)
    rows = Rows(corpus_of(dataset), "train")
    names = [entry.name for entry in manifest.recordings if entry.split == "train"]
    assert [payload_of(row) for row in rows] == [
        masked_payload(read_session(dataset / name, keep_credentials=True)) for name in names
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
def test_both_splits_have_groups_and_one_more_would_not_be_nearer(sizes, seed):
    chosen = split.choose_validation(sizes, 0.2, seed)
    assert chosen == split.choose_validation(sizes, 0.2, seed)
    assert 0 < len(chosen) < len(sizes)
    total, goal = sum(sizes[group] for group in chosen), 0.2 * sum(sizes)
    smallest = min(size for group, size in enumerate(sizes) if group not in chosen)
    assert abs(total + smallest - goal) >= abs(total - goal) or total < goal


payload = st.binary(min_size=1, max_size=40)


@given(st.lists(payload, max_size=60), st.floats(0.05, 0.8))
def test_a_cut_recording_loses_only_the_gap(parts, fraction):
    session = Session.from_records(Record(Direction(i % 2), 0, part) for i, part in enumerate(parts))
    whole = turns.turns_of(session)
    ids = turns.encode_turns(whole)
    end, begin = split.cut_tail(ids, fraction)
    train, validation = turns.decode(ids[:end]), turns.decode(np.append(ids[:1], ids[begin:]))
    head, tail = train.payload.tobytes(), validation.payload.tobytes()
    everything = b"".join(parts)
    assert everything.startswith(head) and everything.endswith(tail)
    assert begin - end == len(everything) - len(head) - len(tail) + 2 * (len(whole) - len(train) - len(validation))
    assert begin >= end
    # A twentieth of fewer than 20 tokens is 0.
    if len(train) and len(validation) and len(everything) + 2 * len(whole) >= 20:
        assert begin > end


def test_the_manifest_is_plain_json(dataset):
    build_corpus(dataset)
    content = json.loads((corpus_of(dataset) / "manifest.json").read_text())
    assert content["dialects"]["v3"]["junk_bytes"] == {"0": sum(content["dialects"]["v3"]["records"].values())}
