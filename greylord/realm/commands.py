"""The command table: what a caller can type, and what it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from greylord.realm import actions, item_actions
from greylord.realm.atlas import DIRECTIONS
from greylord.realm.entities import Hero
from greylord.realm.movement import look
from greylord.realm.screen import CYAN, GREY, PARTY
from greylord.realm.state import Realm

__all__ = ["COMMANDS", "run_command"]


class Command(NamedTuple):
    """A command of the game."""

    names: tuple[str, ...]
    """The full name first, then abbreviations and synonyms."""
    run: Callable[[Realm, Hero, str], None]
    """Called with the realm, the hero and the rest of the typed line."""
    help: str
    """One line; empty to leave the command out of the list."""


def run_command(realm: Realm, hero: Hero, typed: str) -> None:
    """Run a typed line.

    Three letters of a full name are enough. An unknown command is said aloud.
    """
    typed = typed.strip()
    if not typed:
        look(realm, hero)
        return
    if typed[0] == "'":
        typed = f"say {typed[1:]}"
    word, _, rest = typed.partition(" ")
    command = _find_command(word.lower())
    if command:
        command.run(realm, hero, rest.strip())
    else:
        actions.say(realm, hero, typed)


def _find_command(word: str) -> Command | None:
    for command in COMMANDS:
        if word in command.names:
            return command
    if len(word) >= 3:
        for command in COMMANDS:
            if command.names[0].startswith(word):
                return command
    return None


def show_help(realm: Realm, hero: Hero, rest: str) -> None:
    """List the commands."""
    rows = [f"{PARTY}What you can do:"]
    for command in COMMANDS:
        if command.help:
            rows.append(f"{CYAN}  {', '.join(command.names):<24}{GREY}{command.help}")
    hero.show("\r\n".join(rows))


COMMANDS: Sequence[Command] = (
    *(Command((way, short), partial(actions.go, direction=way), "") for way, short in DIRECTIONS.items()),
    Command(("look", "l"), actions.look, "look about, or at someone"),
    Command(("attack", "a", "kill", "k"), actions.attack, "fight a beast"),
    Command(("cast", "c"), actions.cast, "cast a spell: cast mend oswin, cast spark rat"),
    Command(("flee", "fl"), actions.flee, "run out of a fight"),
    Command(("rest", "re"), partial(actions.sit_down, posture="Resting"), "get your breath back"),
    Command(("meditate", "med"), partial(actions.sit_down, posture="Meditating"), "get your mana back"),
    Command(("get", "g", "take"), item_actions.get, "pick something up"),
    Command(("drop", "dr"), item_actions.drop, "put something down"),
    Command(("wear", "wield", "wi"), item_actions.equip, "use a weapon or armour that you carry"),
    Command(("drink", "quaff"), item_actions.drink, "drink something that does you good"),
    Command(("inventory", "i", "inv"), actions.inventory, "what you carry"),
    Command(("stat", "st"), actions.stat, "who and how you are"),
    Command(("experience", "ex", "exp"), actions.experience, "what you have learned"),
    Command(("who", "wh"), actions.who, "who else is in the realm"),
    Command(("say",), actions.say, "say something; any line that is no command is said, too"),
    Command(("gossip", "gos"), actions.gossip, "say something to the whole realm"),
    Command(("invite",), actions.invite, "ask someone to follow you"),
    Command(("join", "follow"), actions.join, "follow someone who has invited you"),
    Command(("leave",), actions.leave_party, "follow nobody"),
    Command(("party", "par"), actions.party, "how your party is doing"),
    Command(("list",), item_actions.list_stock, "what a shop sells"),
    Command(("buy",), item_actions.buy, "buy something"),
    Command(("sell",), item_actions.sell, "sell something"),
    Command(("time",), actions.time, "the hour and the weather"),
    Command(("help", "?"), show_help, "this list"),
    Command(("x", "exit"), actions.leave_realm, "leave the realm"),
)
"""All commands. The first that matches is run."""
