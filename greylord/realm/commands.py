"""The command table: which words a caller can type, and which deed of the hero each of them means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from greylord.realm import deeds, goods
from greylord.realm.atlas import DIRECTIONS
from greylord.realm.beings import Hero
from greylord.realm.movement import look
from greylord.realm.screen import CYAN, GREY, PARTY
from greylord.realm.state import Realm

__all__ = ["COMMANDS", "obey"]


class Command(NamedTuple):
    """Its names, the full one first; what it does with the rest of the line; one line of help."""

    names: tuple[str, ...]
    run: Callable[[Realm, Hero, str], None]
    help: str


def obey(realm: Realm, hero: Hero, typed: str) -> None:
    """Do what a caller typed. Three letters of a name are enough; what is no command is said aloud."""
    typed = typed.strip()
    if not typed:
        look(realm, hero)
        return
    if typed[0] == "'":
        typed = f"say {typed[1:]}"
    word, _, rest = typed.partition(" ")
    command = _find(word.lower())
    if command:
        command.run(realm, hero, rest.strip())
    else:
        deeds.say(realm, hero, typed)


def _find(word: str) -> Command | None:
    for command in COMMANDS:
        if word in command.names:
            return command
    if len(word) >= 3:
        for command in COMMANDS:
            if command.names[0].startswith(word):
                return command
    return None


def show_help(realm: Realm, hero: Hero, rest: str) -> None:
    rows = [f"{PARTY}What you can do:"]
    for command in COMMANDS:
        if command.help:
            rows.append(f"{CYAN}  {', '.join(command.names):<24}{GREY}{command.help}")
    hero.tell("\r\n".join(rows))


COMMANDS: Sequence[Command] = (
    *(Command((way, short), partial(deeds.go, direction=way), "") for way, short in DIRECTIONS.items()),
    Command(("look", "l"), deeds.look, "look about, or at someone"),
    Command(("attack", "a", "kill", "k"), deeds.attack, "fight a beast"),
    Command(("cast", "c"), deeds.cast, "cast a spell: cast mend oswin, cast spark rat"),
    Command(("flee", "fl"), deeds.flee, "run out of a fight"),
    Command(("rest", "re"), partial(deeds.settle, posture="Resting"), "get your breath back"),
    Command(("meditate", "med"), partial(deeds.settle, posture="Meditating"), "get your mana back"),
    Command(("get", "g", "take"), goods.get, "pick something up"),
    Command(("drop", "dr"), goods.drop, "put something down"),
    Command(("wear", "wield", "wi"), goods.equip, "use a weapon or armour that you carry"),
    Command(("drink", "quaff"), goods.drink, "drink something that does you good"),
    Command(("inventory", "i", "inv"), deeds.inventory, "what you carry"),
    Command(("stat", "st"), deeds.stat, "who and how you are"),
    Command(("experience", "ex", "exp"), deeds.experience, "what you have learned"),
    Command(("who", "wh"), deeds.who, "who else is in the realm"),
    Command(("say",), deeds.say, "say something; any line that is no command is said, too"),
    Command(("gossip", "gos"), deeds.gossip, "say something to the whole realm"),
    Command(("invite",), deeds.invite, "ask someone to follow you"),
    Command(("join", "follow"), deeds.join, "follow someone who has invited you"),
    Command(("leave",), deeds.part, "follow nobody"),
    Command(("party", "par"), deeds.party, "how your party is doing"),
    Command(("list",), goods.stock, "what a shop sells"),
    Command(("buy",), goods.buy, "buy something"),
    Command(("sell",), goods.sell, "sell something"),
    Command(("time",), deeds.time, "the hour and the weather"),
    Command(("help", "?"), show_help, "this list"),
    Command(("x", "exit"), deeds.leave_realm, "leave the realm"),
)
"""Looked up in this order."""
