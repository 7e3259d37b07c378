"""Recordings of any size are read in bounded memory.

The size of blocks changes no result.
"""

import contextlib
import io
import re
import tracemalloc
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greylord import spool
from greylord.captures import conversation, markup, redaction, redaction_rules, session
from greylord.captures.formats import proxylog
from greylord.captures.reading import read_session
from greylord.captures.session import Direction, Record, Session
from greylord.corpus import arrow, build, reading, split
from greylord.corpus.manifest import CorpusSettings, DialectCounts, SplitCounts, payload_hash
from greylord.corpus.windows import Rows
from greylord.errors import GreylordError
from greylord.spool import Spool
from greylord.stream import turns

PIECES = (
    b"Enter your password: ", b"PASS", b"p\x1b[0mass", b"p\x1b[1;3", b"4ma", b"ss: ", b"verify: ", b"look", b"x7!q",
    b"X7!Q", b"x7!qzz", b"****", b"*", b"\r", b"\r\n", b"\r\0", b"\0", b"\n", b"\b", b"\x1b[0;37m", b"\x1b[79D\x1b[K",
    b"\x1b[", b"\xff", b"\xff\xfa", b"\xff\xf0", b"\xff\xff", b"\xff\xfb\x01", b"\xff\xfc\x01", b"set suicide ",
    b"reroll  hush", b"[HP=4]:", b": ", b"a" * 60,
)  # fmt: skip
payloads = st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join)
records = st.lists(
    st.builds(Record, st.sampled_from(Direction), st.sampled_from([0, 700, 1_001, 5_001, -3]), payloads, st.booleans()),
    max_size=25,
)


def limit(patch: pytest.MonkeyPatch, size: int) -> None:
    """Read in blocks of `size` bytes or items, and keep larger arrays in files."""
    patch.setattr(spool, "BLOCK_ITEMS", size)
    patch.setattr(spool, "MEMORY_BYTES", size)
    patch.setattr(session, "PIECE_BYTES", size)
    patch.setattr(session, "PIECE_RECORDS", size)
    patch.setattr(split, "SEARCHED_TOKENS", size)
    patch.setattr(conversation, "RELEASE_EVERY", 2)
    patch.setattr(arrow, "BATCH_BYTES", size)
    patch.setattr(arrow, "WRITTEN_BYTES", size)


def log_of(rows: list[Record]) -> bytes:
    target = io.BytesIO()
    proxylog.write(rows, target)
    return target.getvalue()


def everything(log: bytes, keep_records: bool) -> dict:
    """Return everything that a build computes from a log."""
    read = proxylog.read(io.BytesIO(log), 4_096)
    found = redaction.find(read)
    masked = redaction.mask(read, found)
    stretches = list(turns.encode_pieces(masked, keep_records))
    ids = np.concatenate([stretch.ids for stretch in stretches])
    delays = np.concatenate([stretch.delays_ms for stretch in stretches])
    columns = (read.ends, read.directions, read.delays, read.truncated)
    return {
        "columns": [column.tolist() for column in columns],
        "payload": read.payload.tobytes(),
        "credentials": (found.positions.tolist(), found.logins),
        "masked": masked.payload.tobytes(),
        "hash": payload_hash(masked),
        "counts": asdict(DialectCounts.of(read, len(delays), found)),
        "ids": ids.tolist(),
        "delays": delays.tolist(),
        "cuts": [split.cut_tail(ids, fraction) for fraction in (0.1, 0.5, 0.9)],
    }


@given(records, st.booleans(), st.integers(1, 100))
def test_the_size_of_blocks_changes_nothing(rows, keep_records, size):
    log = log_of(rows)
    whole = everything(log, keep_records)
    read = proxylog.read(io.BytesIO(log))
    assert whole["ids"] == turns.encode(replaced(read, whole["masked"]), keep_records).tolist()
    assert whole["delays"] == turns.delays_of(read, keep_records).tolist()
    with pytest.MonkeyPatch.context() as patch:
        limit(patch, size)
        assert everything(log, keep_records) == whole


def replaced(read: Session, payload: bytes) -> Session:
    return Session(np.frombuffer(payload, np.uint8), read.ends, read.directions, read.delays, read.truncated)


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join), st.integers(1, 40))
def test_matches_are_found_wherever_blocks_end(text, size):
    for search in (
        redaction_rules._PASS,
        redaction_rules._LAST_ASTERISK,
        redaction_rules._ECHO_OPTION,
        redaction_rules._HERO_WORD,
        conversation._MARKUP,
        conversation._LINE_END,
    ):
        expected = [match.span() for match in search.pattern.finditer(text)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spool, "BLOCK_ITEMS", size)
            spans = list(markup.find_spans(search, memoryview(text)))
        assert [span for begins, ends in spans for span in zip(begins.tolist(), ends.tolist(), strict=True)] == expected
        assert len(spans) == -(-len(text) // size)
        assert all(begins.size == 0 or begins[0] // size == at for at, (begins, _) in enumerate(spans))


@given(st.lists(st.lists(st.integers(-(2**40), 2**40), max_size=9), max_size=9), st.integers(0, 300))
def test_a_spool_holds_what_was_appended(parts, memory):
    store = Spool(np.int64, memory_bytes=memory)
    for part in parts:
        store.append(np.array(part, np.int64))
    array = store.array()
    expected = [value for part in parts for value in part]
    assert array.tolist() == expected and array.dtype == np.int64
    if array.nbytes > memory:
        assert not array.flags.writeable


def test_a_spool_leaves_no_file(tmp_path):
    store = Spool(np.uint8, tmp_path, memory_bytes=10)
    for _ in range(5):
        store.append(np.arange(200, dtype=np.uint8))
    array = store.array()
    assert array.sum() == 5 * 199 * 100
    spool.release(array, array[7:], memoryview(array[3:]))
    assert array.sum() == 5 * 199 * 100
    del array, store
    assert not list(tmp_path.iterdir())


def test_pages_are_released_after_reading():
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc/self/statm to count mapped pages")

    def mapped_pages() -> int:
        return int(statm.read_text().split()[2])

    store = Spool(np.uint8, memory_bytes=0)
    for _ in range(16):
        store.append(np.ones(1 << 20, np.uint8))
    array = store.array()
    before = mapped_pages()
    assert array.sum() == 1 << 24
    read = mapped_pages() - before
    assert read > 3_000
    spool.release(array)
    assert mapped_pages() - before < read / 10
    assert sum(int(block.sum()) for _, block in spool.blocks(array)) == 1 << 24
    assert mapped_pages() - before < read / 2


def write_log(path: Path, rows: list[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(log_of(rows))


def play(seed: int, exchanges: int) -> list[Record]:
    """Play a login and some exchanges.

    One record is larger than all others together.
    """
    random = np.random.default_rng(seed)
    rows = [
        Record(Direction.SERVER, 0, b"Enter your password: "),
        Record(Direction.CLIENT, 800, b"x7-moth\r"),
        Record(Direction.SERVER, 100, b"*******\r\nWelcome x7-moth" + bytes(60 * exchanges)),
    ]
    for number in range(exchanges):
        line = b"gos mine is x7-moth\r" if number < 9 else b"gos mine is not yours\r"
        rows.append(Record(Direction.CLIENT, int(random.integers(9)) * 1_000, line))
        rows.append(Record(Direction.SERVER, 50, b"\x1b[79D\x1b[K[HP=46]:" + random.bytes(40)))
    return rows


def built(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("recordings", [1, 4])
def test_a_corpus_is_the_same_in_small_blocks(workplace, recordings):
    for number in range(recordings):
        write_log(Path(f"data/game/{1_750_000_000 + 90_000 * number}_a.log"), play(number, 30))
    manifest = build.build_corpus(Path("data/game")).manifest
    assert manifest.cut == (recordings == 1)
    whole = {name: [row.tolist() for row in Rows(build.corpus_of(Path("data/game")), name)] for name in arrow.SPLITS}
    plain = {name: content for name, content in built(Path("corpora/game")).items() if not name.endswith("arrow")}
    with pytest.MonkeyPatch.context() as patch:
        limit(patch, 100)
        Path("corpora/game/manifest.json").unlink()
        build.build_corpus(Path("data/game"))
    for name in arrow.SPLITS:
        assert [row.tolist() for row in Rows(build.corpus_of(Path("data/game")), name)] == whole[name]
    assert plain == {name: data for name, data in built(Path("corpora/game")).items() if not name.endswith("arrow")}


def test_memory_does_not_grow_with_the_recording(workplace):
    def peak(exchanges: int) -> int:
        write_log(Path(f"data/{exchanges}/1750000000_a.log"), play(0, exchanges))
        with pytest.MonkeyPatch.context() as patch:
            limit(patch, 1 << 14)
            patch.setattr(proxylog.read, "__defaults__", (1 << 15, None))
            tracemalloc.start()
            build.build_corpus(Path(f"data/{exchanges}"))
            held = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return held

    peak(10)  # The first call imports modules and compiles patterns, which stay in memory.
    small, large = peak(2_000), peak(10_000)
    added = Path("data/10000/1750000000_a.log").stat().st_size - Path("data/2000/1750000000_a.log").stat().st_size
    assert added > 10**6
    assert large - small < added / 10


def test_pages_are_released_while_writing(tmp_path, monkeypatch):
    released = []
    monkeypatch.setattr(arrow, "WRITTEN_BYTES", 1_000)
    monkeypatch.setattr(arrow, "release", lambda *arrays: released.append(arrays))
    ids = np.arange(5_000, dtype=np.uint16)
    with arrow._ArrowFile(tmp_path / "file") as file:
        file.source = ids
        assert file.write(memoryview(ids)) == ids.nbytes
    assert (tmp_path / "file").read_bytes() == ids.tobytes()
    assert len(released) == 10 and all(arrays[0] is ids for arrays in released)


def test_a_recording_too_long_for_a_row_is_one_sentence(workplace, monkeypatch):
    write_log(Path("data/game/1750000000_a.log"), play(0, 30))
    monkeypatch.setattr(arrow, "MAX_ROW_TOKENS", 1_000)
    with pytest.raises(GreylordError, match=r"^'1750000000_a\.log' gives [\d,]+ tokens .* 1,000; divide .*\.$"):
        build.build_corpus(Path("data/game"))
    assert not list(Path("corpora").glob("*"))


@pytest.mark.parametrize("size", [1, 3, 4, 1 << 20])
def test_compression_is_seen_across_blocks(tmp_path, monkeypatch, size):
    monkeypatch.setattr(spool, "BLOCK_ITEMS", size)
    write_log(tmp_path / "log", [Record(Direction.SERVER, 0, b"Hello\xff\xfa\x56\xff\xf0\x78\x9c")])
    assert reading._read(tmp_path / "log", spool=tmp_path, settings=CorpusSettings()).compressed


def test_recordings_share_a_file_for_their_ids(tmp_path):
    for number in range(5):
        write_log(tmp_path / f"{number}.log", play(number, number))
    paths = sorted(tmp_path.glob("*.log"))
    (tmp_path / "spool").mkdir()
    readings = list(reading.read_all(paths, tmp_path / "spool", CorpusSettings(keep_credentials=True)))
    (file,) = (tmp_path / "spool").iterdir()
    for path, each in zip(paths, readings, strict=True):
        stored = each.ids.load({file: spool.map_file(file)})
        assert stored.tolist() == turns.encode(read_session(path, keep_credentials=True)).tolist()


@pytest.mark.parametrize(("files", "expected"), [(5, 0), (6, 1)])
def test_many_small_files_are_read_by_several_processes(tmp_path, monkeypatch, files, expected):
    started = []

    def pool(*arguments):
        started.append(arguments)
        raise BrokenProcessPool

    monkeypatch.setattr(reading, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(reading.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 6 * reading.FILE_BYTES)
    paths = []
    for number in range(files):
        paths.append(tmp_path / f"{number}.log")
        write_log(paths[-1], [Record(Direction.SERVER, 0, b"n")])
    assert len(list(reading.read_all(paths, tmp_path, CorpusSettings()))) == files
    assert len(started) == expected


def test_adding_a_row_looks_at_no_other_row(tmp_path):
    class Asked(np.ndarray):
        times = 0

        @property
        def nbytes(self):
            Asked.times += 1
            return self.size * self.itemsize

    file = SimpleNamespace(name="a", started_at=datetime(2025, 6, 18, tzinfo=UTC))
    row = SimpleNamespace(file=file, reading=SimpleNamespace(dialect="v3"), counts=DialectCounts(recordings=1))
    ids = np.array([256, 258, 259, 65], np.uint16)
    with contextlib.ExitStack() as files:
        writer = arrow.SplitWriter(tmp_path / "train", "train", "0" * 64, files)
        for _ in range(100):
            writer.add(row, 0, ids.view(Asked))
        assert Asked.times <= 200
        assert writer.close() == SplitCounts(recordings=100, groups=1, turns=100, payload_bytes=100, tokens=300)


def test_a_recording_is_read_in_pieces_of_bounded_size(monkeypatch):
    limit(monkeypatch, 50)
    read = proxylog.read(io.BytesIO(log_of(play(0, 20))))
    pieces = list(read.pieces())
    assert all(len(piece.payload) <= 50 and len(piece) <= 50 for piece in pieces)
    assert b"".join(piece.payload.tobytes() for piece in pieces) == read.payload.tobytes()
    assert sum(len(piece) - piece.continues for piece in pieces) == len(read)
    whole = [record for piece in pieces for record in list(piece)[int(piece.continues) :]]
    assert [record.delay_ms for record in whole] == read.delays.tolist()


def test_long_sequences_do_not_depend_on_blocks(monkeypatch):
    colours = b"\x1b[1;32m" * 300
    text = b"\x1b[0mP" + colours + b"a" + colours + b"ss\x1b[word: "
    expected = [match.span() for match in re.finditer(redaction_rules._PASS.pattern, text)]
    monkeypatch.setattr(spool, "BLOCK_ITEMS", 64)
    assert [
        (int(b[0]), int(e[0])) for b, e in markup.find_spans(redaction_rules._PASS, memoryview(text)) if len(b)
    ] == expected
    assert expected
