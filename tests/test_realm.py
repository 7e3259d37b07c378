"""The built-in realm: recordings, map, heroes, and a host for any bytes."""

import re
import string
import uuid
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greylord.captures.session import Direction, Session
from greylord.realm import combat, recorder
from greylord.realm.atlas import DIRECTIONS, EXITS, OPPOSITE, ROOMS, START, find_route
from greylord.realm.catalog import ITEMS
from greylord.realm.commands import COMMANDS
from greylord.realm.connection import LINE_LIMIT, Connection
from greylord.realm.movement import move
from greylord.realm.screen import ERASE, scramble_exit
from greylord.realm.world import World

CSI = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")
PROMPT = re.compile(rb"\x1b\[79D\x1b\[K\x1b\[0;37m\[HP=(?:\x1b\[1;31m)?-?\d+")
HOUR_S = 3600
RECORDINGS, MINUTES = 10, 4


def plain(data: bytes) -> str:
    """Decode server bytes, without colours and overstruck characters."""
    return re.sub(rb"[^\x08]\x08", b"", CSI.sub(b"", data)).decode("cp437")


def type_line(world: World, connection: Connection, text: str, seconds: float = 0.2) -> str:
    """Type a line and return what the caller sees."""
    connection.receive(text.encode() + b"\r")
    return plain(world.tick(seconds).get(connection, b""))


def enter_realm(world: World, name: str, calling_letter: str = "w") -> Connection:
    """Connect a newcomer, log in and enter the realm."""
    connection = world.connect()
    world.tick(2)
    for text in (name, "swordfish", calling_letter):
        type_line(world, connection, text)
    assert ROOMS[START].title in type_line(world, connection, "l")
    return connection


def server_bytes(session: Session) -> bytes:
    """Join what the host sent."""
    return b"".join(record.payload for record in session if record.direction == Direction.SERVER)


@pytest.fixture(scope="module")
def recordings() -> list[tuple[str, Session]]:
    """Names and sessions of ten recordings."""
    return list(recorder.record(seed=0, recordings=RECORDINGS, minutes=MINUTES))


@pytest.fixture(scope="module")
def evenings(recordings) -> list[list[Session]]:
    """Group the sessions by evening: each starts within an hour of the one before."""
    groups: list[list[tuple[int, Session]]] = []
    for name, session in sorted(recordings, key=lambda recording: recording[0]):
        start = int(name.split("_")[0])
        if not groups or start - groups[-1][-1][0] > HOUR_S:
            groups.append([])
        groups[-1].append((start, session))
    return [[session for _, session in group] for group in groups]


@pytest.fixture
def peace(monkeypatch) -> None:
    """Keep monsters from starting fights."""
    monkeypatch.setattr(combat, "AMBUSH_CHANCE", 0)


# The recordings.


def record_all(seed: int) -> list[tuple[str, list]]:
    return [(name, list(session)) for name, session in recorder.record(seed, recordings=3, minutes=1)]


def test_same_seed_gives_same_recordings():
    assert record_all(7) == record_all(7)


def test_other_seed_gives_other_recordings():
    for (name, records), (other_name, other_records) in zip(record_all(7), record_all(8), strict=True):
        assert name != other_name
        assert records != other_records


def test_file_names_are_unique_and_hold_the_start_time(recordings):
    names = [name for name, _ in recordings]
    assert len(set(names)) == len(names) == RECORDINGS
    for name in names:
        start, identity = re.fullmatch(r"(\d{10})_([0-9a-f-]{36})\.log", name).groups()
        assert uuid.UUID(identity).version == 4
        assert int(start) > recorder.FIRST_EVENING.timestamp()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 16])
def test_parties_meet_on_separate_evenings(count):
    starts = sorted(int(name.split("_")[0]) for name, _ in recorder.record(5, count, minutes=0.5))
    assert len(starts) == count
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert all(gap < HOUR_S or gap >= 24 * HOUR_S for gap in gaps)
    sizes = [1]
    for gap in gaps:
        if gap < HOUR_S:
            sizes[-1] += 1
        else:
            sizes.append(1)
    assert len(sizes) >= min(recorder.MIN_EVENINGS, count)
    assert max(sizes) <= recorder.MAX_PARTY


def test_every_player_logs_in_and_the_host_masks_the_password(recordings):
    for _, session in recordings:
        records = iter(session)
        seen = b""
        while not CSI.sub(b"", seen).endswith(b"Password: "):
            record = next(records)
            seen += record.payload if record.direction == Direction.SERVER else b""
        payloads = {Direction.CLIENT: b"", Direction.SERVER: b""}
        while b"\n" not in payloads[Direction.SERVER]:
            record = next(records)
            payloads[record.direction] += record.payload
        typed = payloads[Direction.CLIENT]
        assert re.fullmatch(rb"[a-z\x08]+[\r\n]", typed)
        echo = re.sub(rb"[a-z]", b"*", typed[:-1]).replace(b"\b", b"\b \b") + b"\r\n"
        assert payloads[Direction.SERVER].startswith(echo)
        assert "The Lamps of Wrackhaven" in plain(server_bytes(session))
        assert PROMPT.search(server_bytes(session))


def test_records_are_as_long_as_network_reads(recordings):
    longest = set()
    for _, session in recordings:
        records = list(session)
        assert records[0].direction == Direction.SERVER
        assert records[0].payload.startswith(b"\xff\xfb")
        assert all(record.delay_ms >= 0 and record.payload for record in records)
        longest.add(max(len(record.payload) for record in records))
    assert 64 in longest
    assert 512 < max(longest) <= 1460


def test_commands_end_with_cr_or_lf_and_some_players_send_single_keys(recordings):
    ends, by_key = set(), 0
    for _, session in recordings:
        typed = [record.payload for record in session if record.direction == Direction.CLIENT]
        ends.update(payload[-1:] for payload in typed if payload.endswith((b"\r", b"\n")))
        by_key += 2 * sum(len(payload) == 1 for payload in typed) > len(typed)
    assert ends == {b"\r", b"\n"}
    assert 0 < by_key < len(recordings)


def test_party_members_see_the_same_hits(evenings):
    verbs = {others: you for item in ITEMS.values() for you, others in item.verbs}
    compared = 0
    for evening in evenings:
        texts = [plain(server_bytes(session)) for session in evening]
        names = [re.search(r"User-ID: \s*(\w+)", text)[1] for text in texts]
        for name, text in zip(names, texts, strict=True):
            own = Counter(re.findall(r"You (\w+) (the [a-z ]+ for \d+ damage!)", text))
            for friend_text in texts:
                seen = Counter(
                    (verbs[verb], rest)
                    for verb, rest in re.findall(rf"{name} (\w+) (the [a-z ]+ for \d+ damage!)", friend_text)
                )
                assert seen <= own
                compared += seen.total()
    assert compared > 100


def test_recordings_resemble_real_ones(recordings):
    """Colour codes, typed bytes and bytes per second are about as frequent."""
    server = b"".join(server_bytes(session) for _, session in recordings)
    total = sum(len(session.payload) for _, session in recordings)
    assert 0.35 < sum(map(len, CSI.findall(server))) / len(server) < 0.40
    assert 0.01 < 1 - len(server) / total < 0.02
    assert 150 < total / (len(recordings) * 60 * MINUTES) < 300


# The map.


def test_every_path_leads_back_and_every_room_can_be_reached():
    for key, exits in EXITS.items():
        assert exits
        for direction, end in exits.items():
            assert EXITS[end][OPPOSITE[direction]] == key
        assert find_route(START, lambda room, key=key: room == key) or key == START


def test_room_titles_are_unique():
    assert len({room.title for room in ROOMS.values()}) == len(ROOMS)


def test_every_exit_shown_leads_where_the_map_says(peace):
    world = World(1)
    connection = enter_realm(world, "Walker")
    here = START
    for key, room in ROOMS.items():
        for direction in find_route(here, lambda room, key=key: room == key):
            type_line(world, connection, DIRECTIONS[direction])
        here = key
        view = type_line(world, connection, "l")
        assert room.title in view
        shown = re.search(r"Obvious exits: (.+)\r", view)[1].split(", ")
        assert shown == list(EXITS[key])
        for direction in shown:
            assert ROOMS[EXITS[key][direction]].title in type_line(world, connection, direction)
            assert room.title in type_line(world, connection, DIRECTIONS[OPPOSITE[direction]])


def test_scrambled_exits_use_every_capital_but_z():
    rng = Random(0)
    shown = {scramble_exit("north", rng) for _ in range(2000)}
    assert shown == {f"n{letter}\borth" for letter in string.ascii_uppercase if letter != "Z"}


# Heroes.


def test_speech_stays_in_the_room_and_gossip_does_not():
    world = World(2)
    oswin, merrow = enter_realm(world, "Oswin"), enter_realm(world, "Merrow", "d")
    oswin.receive(b"good evening\r")
    sent = world.tick(0.2)
    assert 'You say "good evening"' in plain(sent[oswin])
    assert 'Oswin says "good evening"' in plain(sent[merrow])
    merrow.receive(b"s\rsw\r")
    sent = world.tick(0.2)
    assert 'Merrow says "s' not in plain(sent[oswin])
    assert "Merrow leaves to the southwest." in plain(sent[oswin])
    oswin.receive(b"good evening\r")
    assert merrow not in world.tick(0.2)
    oswin.receive(b"gos all well?\r")
    assert "Oswin gossips: all well?" in plain(world.tick(0.2)[merrow])


def test_followers_walk_with_their_leader():
    world = World(2)
    oswin, merrow = enter_realm(world, "Oswin"), enter_realm(world, "Merrow", "d")
    assert "has not invited you" in type_line(world, merrow, "join oswin")
    assert "You see no oswin here" in type_line(world, oswin, "invite oswin")
    oswin.receive(b"invite merrow\r")
    assert "Oswin invites you" in plain(world.tick(0.2)[merrow])
    type_line(world, merrow, "join oswin")
    oswin.receive(b"sw\r")
    sent = world.tick(0.2)
    assert "Merrow follows Oswin in from the northeast." in plain(sent[oswin])
    assert "You follow Oswin to the southwest." in plain(sent[merrow])
    assert ROOMS["square"].title in plain(sent[merrow])


def test_only_fighters_get_experience_for_a_kill(peace):
    world = World(3)
    oswin, merrow = enter_realm(world, "Oswin"), enter_realm(world, "Merrow", "d")
    rat = world.realm.monsters[0]
    for hero in world.realm.playing():
        move(hero, rat.place)
    oswin.receive(f"a {rat.name}\r".encode())
    assert f"Oswin goes for the {rat.name}." in plain(world.tick(0.2)[merrow])
    for _ in range(20):
        sent = world.tick(4)
        if rat not in world.realm.monsters:
            break
    for connection in (oswin, merrow):
        assert rat.species.death in plain(sent[connection])
    assert f"You earn {rat.species.experience} experience." in plain(sent[oswin])
    assert "You earn" not in plain(sent[merrow])


def test_prompt_and_unfinished_line_come_back_after_a_message():
    world = World(4)
    oswin, merrow = enter_realm(world, "Oswin"), enter_realm(world, "Merrow", "d")
    oswin.receive(b"look at")
    assert world.tick(0.2) == {oswin: b"look at"}
    merrow.receive(b"gos hi\r")
    message = f"{ERASE}\x1b[1;33mMerrow gossips: hi\r\n{ERASE}\x1b[0;37m[HP=52]:look at"
    assert world.tick(0.2)[oswin] == message.encode()


def test_a_defeated_hero_wakes_in_the_chapel(monkeypatch):
    monkeypatch.setattr(combat, "AMBUSH_CHANCE", 1)
    world = World(5)
    connection = enter_realm(world, "Oswin")
    hero = world.realm.heroes["Oswin"]
    move(hero, next(monster.place for monster in world.realm.monsters if monster.species_key == "ringer"))
    hero.life = 1
    seen = ""
    for _ in range(20):
        seen += plain(world.tick(4).get(connection, b""))
        if hero.place.key == START:
            break
    assert 0 <= seen.find("You go down") < seen.find(ROOMS[START].title)
    assert hero.life > 1


def test_a_shop_sells_and_buys_items():
    world = World(6)
    connection = enter_realm(world, "Oswin")
    hero = world.realm.heroes["Oswin"]
    assert "Nobody sells that here" in type_line(world, connection, "buy harpoon")
    hero.herrings = 300
    move(hero, world.realm.places["smithy"])
    assert "whalebone harpoon" in type_line(world, connection, "list")
    type_line(world, connection, "buy harpoon")
    type_line(world, connection, "wield harpoon")
    assert hero.herrings == 40
    assert "whalebone harpoon" in type_line(world, connection, "st")
    assert "You sell the boat gaff for 15 herrings" in type_line(world, connection, "sell gaff")
    assert "55 silver herrings" in type_line(world, connection, "i")


def test_a_hero_needs_its_password_and_has_one_player():
    world = World(6)
    first = enter_realm(world, "Oswin")
    second = world.connect()
    world.tick(2)
    type_line(world, second, "oswin")
    assert "not what you said" in type_line(world, second, "guess")
    type_line(world, second, "oswin")
    type_line(world, second, "swordfish")
    assert "on another line" in type_line(world, second, "l")
    first.hang_up()
    assert first.closed
    assert first not in world.tick(0.2)
    assert "[HP=52]" in type_line(world, second, "l")
    type_line(world, second, "x")
    assert "Good night" in type_line(world, second, "x")
    assert second.closed


def test_an_idle_caller_is_warned_and_then_disconnected():
    world = World(7)
    connection = enter_realm(world, "Oswin")
    assert "Type something" in plain(world.tick(200)[connection])
    assert not connection.closed
    assert "Nobody seems" in plain(world.tick(200)[connection])
    assert connection.closed
    assert not world.realm.playing()


# Any bytes.

FRAGMENTS = [
    *(
        b"oswin\r",
        b"\r\n",
        b"\n",
        b"\b",
        b"\x7f",
        b"l\r",
        b"w\n",
        b"x\r",
        b"\xff",
        b"\xff\xfb\x01",
        b"\x1b[1;1R",
    ),
    *(
        b"\xff\xfa\x18\x00xterm\xff\xf0",
        b"\xff\xfa",
        b"\x1b",
        b"\x1b[",
        b"'",
        b"y" * 300,
        b" ",
        b"fish\r",
        b"a ",
    ),
    *(f"{name} {rest}\r".encode() for command in COMMANDS for name in command.names for rest in ("", "o", "7")),
]
BYTES = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=6)), max_size=12).map(b"".join)


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(BYTES, max_size=4), in_game=st.booleans(), seed=st.integers(0, 999))
def test_chunk_boundaries_do_not_change_the_answer(parts, in_game, seed):
    rng, answers = Random(seed), []
    for whole in (True, False):
        world = World(0)
        connection = enter_realm(world, "Oswin", "l") if in_game else world.connect()
        sent = [world.tick(2)]
        for part in parts:
            while part:
                size = len(part) if whole else rng.randint(1, len(part))
                connection.receive(part[:size])
                part = part[size:]
            sent.append(world.tick(2))
        answers.append([tick.get(connection) for tick in sent])
    assert answers[0] == answers[1]


def test_line_editing_and_telnet_commands():
    typed = []
    connection = Connection(lambda _, text: typed.append(text), lambda _: None)
    greeting = connection.flush()
    assert greeting.startswith(b"\xff\xfb")
    connection.receive(b"lok\bok\r\n\xff\xfd\x01n\x7f\x7fs\n\x1b[Ax\r\0y\r")
    assert typed == ["look", "s", "x", "y"]
    assert connection.flush() == b"lok\b \bok\r\nn\b \bs\r\nx\r\ny\r\n"
    connection.receive(b"z" * 1000 + b"\r")
    assert typed[-1] == "z" * LINE_LIMIT
