"""The bulletin board in front of the realm: banner, login and menu.

A call is a generator: it sends its texts, then yields until the caller's next line is sent to it.
"""

from __future__ import annotations

from collections.abc import Generator

from greylord.realm.atlas import START
from greylord.realm.catalog import CALLINGS
from greylord.realm.commands import run_command
from greylord.realm.connection import Connection
from greylord.realm.entities import Hero
from greylord.realm.movement import enter, leave
from greylord.realm.screen import ALARM, CYAN, GREEN, GREY, PARTY, TITLE, YELLOW, draw_box
from greylord.realm.state import Realm

__all__ = ["SENSING", "TIMED_OUT", "answer_call"]

SENSING = "Feeling for a terminal...\r\n\x1b[6n\b\b\b\b\r    \b\b\b\b\r"
"""ESC[6n asks the terminal for its cursor position. The answer is ignored."""

BANNER = (
    f"\x1b[0m\x1b[2J\r\n{TITLE}"
    + draw_box(["T H E   T I N   K E T T L E", "a bulletin board by the sea"])
    + f"\r\n{GREY}Eight lines, no charge, and the water is always on.\r\n\r\n"
    f"{GREEN}If you have been here before, type your User-ID.\r\n"
    "If you are new, type the name you would like to have.\r\n"
)
USER_ID = f"\r\n{GREEN}User-ID: {GREY}"
BAD_USER_ID = f"{YELLOW}A User-ID has 3 to 12 letters and nothing else.\r\n"
NEWCOMER = f"\r\n{YELLOW}We have not met. Choose a password that you use nowhere else.\r\n"
PASSWORD = f"\r\n{GREEN}Password: {GREY}"
WRONG_PASSWORD = f"\r\n{YELLOW}That is not what you said last time.\r\n"
ASK_CALLING = (
    f"\r\n{CYAN}What do you do for a living?\r\n"
    + "".join(f"  {PARTY}{letter.upper()}{CYAN}  {calling.title}\r\n" for letter, calling in CALLINGS.items())
    + f"{GREEN}One letter: {GREY}"
)
MENU = (
    f"\r\n{CYAN}"
    + draw_box(
        [
            "L   The Lamps of Wrackhaven",
            "N   Notices on the harbour wall",
            "W   Who is on the line",
            "X   Leave the board",
        ]
    )
    + f"\r\n{GREEN}Your choice: {GREY}"
)
NOTICES = (
    f"\r\n{PARTY}1.{GREY} Lost: one lighthouse keeper. Reward on return, dead or damp.\r\n"
    f"{PARTY}2.{GREY} Will whoever borrowed the marsh causeway please put it back.\r\n"
    f"{PARTY}3.{GREY} Do not ring the bell. Do not ask about the bell.\r\n"
)
ENTRANCE = f"\x1b[0m\x1b[2J{TITLE}The Lamps of Wrackhaven\r\n{GREY}{'─' * 60}\r\n\r\n"
IN_USE = f"\r\n{YELLOW}You are in Wrackhaven already, on another line.\r\n"
FAREWELL = f"\r\n{ALARM}The kettle stays on for you. Good night.\r\n\x1b[0m"
TIMED_OUT = f"\r\n\r\n{ALARM}Nobody seems to be there. The line goes to the next caller.\r\n\x1b[0m"

LOGIN_TRIES = 3


def answer_call(realm: Realm, connection: Connection) -> Generator[None, str, None]:
    """Hold a whole call, from the banner to the farewell."""
    connection.send(BANNER)
    hero = yield from _log_in(realm, connection)
    while hero:
        connection.send(MENU)
        match (yield).strip().lower():
            case "l":
                yield from _play_game(realm, connection, hero)
            case "n":
                connection.send(NOTICES)
            case "w":
                names = ", ".join(other.name for other in realm.playing()) or "nobody"
                connection.send(f"\r\n{CYAN}In Wrackhaven just now: {names}.\r\n")
            case "x":
                break
    connection.send(FAREWELL)


def _log_in(realm: Realm, connection: Connection) -> Generator[None, str, Hero | None]:
    """Ask for User-ID and password. Returns None after `LOGIN_TRIES` failures."""
    for _ in range(LOGIN_TRIES):
        connection.send(USER_ID)
        name = (yield).strip().capitalize()
        if not (name.isalpha() and 3 <= len(name) <= 12):
            connection.send(BAD_USER_ID)
            continue
        hero = realm.heroes.get(name)
        if hero is None:
            connection.send(NEWCOMER)
        connection.send(PASSWORD)
        connection.masked = True
        password = yield
        if hero is None:
            hero = yield from _sign_up(realm, connection, name, password)
        if hero.password == password:
            connection.send(f"\r\n{PARTY}The kettle is on, {name}. Mind the third step.\r\n")
            return hero
        connection.send(WRONG_PASSWORD)
    return None


def _sign_up(realm: Realm, connection: Connection, name: str, password: str) -> Generator[None, str, Hero]:
    """Create a newcomer's hero.

    If two callers sign up under one name at the same time, the first to finish gets it.
    """
    while True:
        connection.send(ASK_CALLING)
        letter = (yield).strip().lower()
        if letter in CALLINGS:
            return realm.heroes.setdefault(name, Hero(name, password, letter, realm.places[START]))


def _play_game(realm: Realm, connection: Connection, hero: Hero) -> Generator[None, str, None]:
    """Play until the hero leaves or the connection drops."""
    if hero.connection:
        connection.send(IN_USE)
        return
    connection.send(ENTRANCE)
    enter(realm, hero, connection)
    try:
        while not hero.leaving:
            run_command(realm, hero, (yield))
    finally:
        leave(realm, hero)
