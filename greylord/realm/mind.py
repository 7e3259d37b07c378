"""A player's decisions.

They come from urges, the most pressing first. Each urge looks at the screen and may name a command.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from greylord.realm.areas import AREAS
from greylord.realm.atlas import DIRECTIONS, START, find_route
from greylord.realm.catalog import ITEMS, SHOPS, TREASURE
from greylord.realm.sight import Sight

__all__ = ["WAIT", "Mind", "Persona"]

WAIT = "\0"
"""The decision to type nothing for now. An empty command is the Enter key."""

CHORES = ("", "", "", "", "l", "l", "exp", "exp", "st", "st", "i", "who", "time", "par", "stat", "inv")
GREETINGS = ("hi all", "evening", "hello", "hey", "hiya", "back again", "hi")
REPLIES = ("yep", "ok", "lol", "sure", "heh", "np", "aye", "k", "same here", "oh", "why not")
REMARKS = ("nice one", "that was close", "ready?", "this way", "need mana", "rest a bit?", "hp?", "ouch")
NEWS = (
    "anyone up for the crypt tonight?",
    "what do they pay for amber?",
    "selling a bone comb, cheap",
    "the keeper is up again",
    "who took my spot at the tarn",
    "how far to level 8 again?",
    "mind the footpads at the quays",
    "is the punt of any use?",
)
FAREWELLS = ("night all", "bye", "see you tomorrow", "gtg", "thanks for the hunt")

FLASKS_WANTED, TREASURES_TO_SELL, WEAPON_WANTED = 2, 3, "cutlass"


class Persona(NamedTuple):
    """A regular caller of the board."""

    name: str
    """User-ID."""
    password: str
    calling_letter: str


class Mind:
    """The decisions of one player in one call.

    Args:
        party: User-IDs of the party, the leader first.
        chatter: Chance to speak, per decision in the game.
    """

    def __init__(self, persona: Persona, party: Sequence[str], chatter: float, rng: random.Random) -> None:
        self.sight = Sight()
        self._persona = persona
        self._leader = party[0]
        self._leads = party[0] == persona.name
        self._others = [name for name in party if name != persona.name]
        self._chatter = chatter
        self._rng = rng
        self._is_leaving = False
        self._errands = ["who", rng.choice(("st", "help", "exp")), "i", f"gos {rng.choice(GREETINGS)}"]
        self._goal = START
        self._hunting_area = ""
        """Key of the area in which the player hunts now."""
        self._treasures: list[str] = []
        self._flasks = 1
        self._armed = False
        self._has_fought = False
        """The player has not looked around since a fight."""
        self._patience = 60
        """Number of times that the player will still wait for party members who are elsewhere."""
        self._urges: tuple[Callable[[], str | None], ...] = (
            self._leave,
            self._survive,
            self._keep_company,
            self._heal,
            self._fight,
            self._pick_up,
            self._trade,
            self._do_errand,
            self._travel,
        )

    def start_leaving(self) -> None:
        """Make the player say goodbye and log off as soon as no fight prevents it."""
        self._is_leaving = True
        self._errands = []

    def decide(self) -> str:
        """Return the next command, or `WAIT`."""
        if not self.sight.in_game:
            return self._answer_board()
        return next((command for urge in self._urges if (command := urge()) is not None), WAIT)

    def _answer_board(self) -> str:
        answers = {
            "User-ID: ": self._persona.name,
            "Password: ": self._persona.password,
            "One letter: ": self._persona.calling_letter,
            "Your choice: ": "x" if self._is_leaving else "l",
        }
        asked = self.sight.question
        return next((answer for question, answer in answers.items() if asked.endswith(question)), WAIT)

    def _chance(self, chance: float) -> bool:
        return self._rng.random() < chance

    def _party_is_scattered(self) -> bool:
        """Return True if a party member is in the realm but not with the party."""
        sight = self.sight
        if self._leads:
            together = [name for name in sight.followers if name in sight.people]
            return any(name in sight.online and name not in together for name in self._others)
        return self._leader in sight.online and (not sight.leader or sight.leader not in sight.people)

    # The urges. Each returns a command, `WAIT`, or None to leave the decision to the next one.

    def _leave(self) -> str | None:
        if not self._is_leaving or self.sight.fighting:
            return None
        return f"gos {self._rng.choice(FAREWELLS)}" if self._chance(0.3) else "x"

    def _survive(self) -> str | None:
        sight = self.sight
        share = sight.life / sight.max_life
        if sight.fighting or sight.monsters:
            if share < 0.4 and self._flasks:
                self._flasks -= 1
                return "drink tea"
            return "flee" if share < 0.25 and not sight.leader else None
        if sight.posture:
            rested = share > 0.9 if sight.posture == "Resting" else sight.mana > 0.8 * sight.max_mana
            return None if rested else WAIT
        if share < 0.5:
            return "rest"
        return "med" if sight.mana < 0.2 * sight.max_mana else None

    def _keep_company(self) -> str | None:
        sight, rng = self.sight, self._rng
        if sight.invited_by and sight.invited_by in sight.people:
            return f"{rng.choice(('join', 'join', 'follow'))} {sight.invited_by.lower()}"
        if self._leads:
            for name in self._others:
                if name in sight.people and name not in sight.followers and self._chance(0.5):
                    return f"invite {name.lower()}"
        speech, sight.last_speech = sight.last_speech, ""
        if speech and speech not in REPLIES and self._chance(0.4):
            return rng.choice(("say ", "'", "gos ")) + rng.choice(REPLIES)
        if self._chance(self._chatter):
            return f"gos {rng.choice(NEWS)}" if self._chance(0.4) else f"'{rng.choice(REMARKS)}"
        return None

    def _heal(self) -> str | None:
        sight = self.sight
        if self._persona.calling_letter != "d" or sight.mana < 4:
            return None
        if sight.wounded in sight.people:
            name, sight.wounded = sight.wounded.lower(), ""
            return f"c mend {name}"
        if sight.life < 0.6 * sight.max_life:
            return "c mend"
        return "par" if sight.leader and self._chance(0.1) else None

    def _fight(self) -> str | None:
        sight, rng = self.sight, self._rng
        if sight.fighting:
            return rng.choice(CHORES) if self._chance(0.1) else WAIT
        if self._goal == START and self._patience and self._party_is_scattered():
            return None
        if self._has_fought:
            self._has_fought = False
            if self._chance(0.7):
                return ""
        if sight.assist_target in sight.monsters:
            target = sight.assist_target
        elif sight.monsters and (not sight.leader or self._chance(0.2)):
            target = sight.monsters[0]
        else:
            return None
        self._has_fought = True
        name = target if self._chance(0.6) else target.split()[-1]
        if sight.mana >= 4 and self._persona.calling_letter == "l":
            return f"c spark {name}"
        return f"{rng.choice(('a', 'a', 'a', 'k', 'attack'))} {name}"

    def _pick_up(self) -> str | None:
        ground = self.sight.ground
        if not ground or (self.sight.leader and self._chance(0.6)):
            return None
        thing = ground.pop()
        if thing == "silver herring":
            return self._rng.choice(("g herrings", "get herrings", "g her", "get silver herrings"))
        item = next((item for item in TREASURE if ITEMS[item].name == thing), None)
        if item is None:
            return None
        self._treasures.append(thing)
        return f"{self._rng.choice(('g', 'get'))} {thing}"

    def _trade(self) -> str | None:
        sight = self.sight
        if sight.room not in SHOPS:
            return None
        if self._treasures:
            return f"sell {self._treasures.pop()}"
        if sight.room == "stillroom" and self._flasks < FLASKS_WANTED:
            self._flasks += 1
            return "buy tea"
        if sight.room == "smithy" and not self._armed and sight.herrings >= ITEMS[WEAPON_WANTED].price:
            self._armed = True
            self._errands.append(f"wield {WEAPON_WANTED}")
            return f"buy {WEAPON_WANTED}"
        return "list" if self._chance(0.3) else None

    def _do_errand(self) -> str | None:
        if self._errands:
            return self._errands.pop(0)
        return self._rng.choice(CHORES) if self._chance(0.04) else None

    def _travel(self) -> str | None:
        sight = self.sight
        if sight.leader and sight.leader in sight.people:
            return WAIT
        if sight.leader and not self._patience:
            sight.leader = ""
            return "leave"
        if self._patience and self._party_is_scattered():
            self._goal = START
            if sight.room == START:
                self._patience -= 1
                return WAIT
        elif sight.room == self._goal:
            self._goal = self._next_goal()
        way = find_route(sight.room, lambda room: room == self._goal)
        return DIRECTIONS[way[0]] if way else WAIT

    def _next_goal(self) -> str:
        """Choose a room to go to.

        It is a shop if there is enough to sell, else a room in a hunting area that fits the level.
        """
        rng = self._rng
        if len(self._treasures) >= TREASURES_TO_SELL:
            return rng.choice(list(SHOPS))
        if not self._hunting_area or self._chance(0.1):
            fit = [key for key, area in AREAS.items() if area.species and area.min_level <= self.sight.level]
            self._hunting_area = rng.choice(fit[-2:])
        return rng.choice(list(AREAS[self._hunting_area].rooms))
