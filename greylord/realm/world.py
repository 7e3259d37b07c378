"""The host as an object: callers dial in, bytes come and go, and the clock runs when told to.

`World` knows nothing of sockets, files or the time of day. Whoever owns it connects lines, hands them what
was typed, and calls `tick` for what is to be sent.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Generator

from greylord.realm import combat, front, nature
from greylord.realm.atlas import AREAS, EXITS, OPPOSITE, ROOMS, heading, origin
from greylord.realm.beings import Beast, Hero, Place
from greylord.realm.bestiary import WARES
from greylord.realm.line import Line
from greylord.realm.screen import ALARM, YELLOW, coins, room_view

__all__ = ["World"]

PICK_UP_S = 1.5
"""How long the host senses the caller's terminal before it shows the banner."""
ANSWER_S = 0.12
"""From the end of a typed line to its answer; the echo comes first."""
IDLE_CHECK_S, IDLE_WARNING_S, IDLE_LIMIT_S = 15, 120, 300

PULSES = (
    (2.0, nature.wander),
    (3.0, nature.populate),
    (4.0, combat.fight_round),
    (6.0, nature.recover),
    (20.0, nature.murmur),
    (60.0, nature.turn_weather),
    (240.0, nature.turn_hour),
)
"""What happens over and over, and every how many seconds."""


class World:
    """The realm and the bulletin board in front of it.

    Args:
        seed: decides every throw of the dice; the same seed and input give the same bytes.
    """

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        """Seconds since the world began."""
        self.hour, self.weather = "noon", "clear"
        self.places = {key: Place(key) for key in ROOMS}
        self.beasts: list[Beast] = []
        self.heroes: dict[str, Hero] = {}
        """Everyone who ever played, by name."""
        self._calls: dict[Line, Generator[None, str, None] | None] = {}
        """The open lines, each with its conversation once the host has picked up."""
        self._agenda: list[tuple[float, int, Callable[..., None], tuple]] = []
        self._appointments = 0
        for area, plan in AREAS.items():
            for _ in range(plan.population):
                nature.breed(self, area)
        for seconds, pulse in PULSES:
            self._after(seconds, self._beat, seconds, pulse)
        self._after(IDLE_CHECK_S, self._watch_idlers)

    # For the owner of the world.

    def connect(self) -> Line:
        """A caller dials in."""
        line = Line(self._on_typed, self._on_hang_up)
        line.typed_at = self.now
        line.send(front.SENSING)
        self._calls[line] = None
        self._after(PICK_UP_S, self._pick_up, line)
        return line

    def tick(self, seconds: float) -> dict[Line, bytes]:
        """Let time pass. Returns what each line was sent meanwhile; lines sent nothing are absent."""
        end = self.now + seconds
        while self._agenda[0][0] <= end:
            self.now, _, action, arguments = heapq.heappop(self._agenda)
            action(*arguments)
        self.now = end
        sent = {line: data for line in self._calls if (data := line.flush())}
        for line in [line for line in self._calls if line.closed]:
            del self._calls[line]
        return sent

    # For the realm.

    def playing(self) -> list[Hero]:
        """The heroes that are in the realm now."""
        return [hero for hero in self.heroes.values() if hero.line]

    def announce(self, place: Place, text: str, *but: Hero) -> None:
        """Tell everyone in a place, with exceptions."""
        for hero in place.heroes:
            if hero not in but:
                hero.tell(text)

    def enter(self, hero: Hero, line: Line) -> None:
        """A hero comes into the realm where it left it."""
        for other in self.playing():
            other.tell(f"{YELLOW}{hero.name} has come to Wrackhaven.")
        self.announce(hero.place, f"{YELLOW}{hero.name} walks in from the world outside.")
        hero.line, hero.leaving = line, False
        hero.place.heroes.append(hero)
        self.look(hero)

    def leave(self, hero: Hero) -> None:
        """A hero goes out of the realm, and out of its party."""
        combat.disengage(hero)
        hero.line, hero.leader, hero.posture = None, None, ""
        hero.place.heroes.remove(hero)
        for other in self.playing():
            other.tell(f"{YELLOW}{hero.name} has left Wrackhaven.")
            if other.leader is hero:
                other.leader = None

    def look(self, hero: Hero, closely: bool = False) -> None:
        """Show a hero the place; the prose only on the first visit, or when it looks closely."""
        place = hero.place
        room = ROOMS[place.key]
        prose = room.prose if closely or place.key not in hero.visited else None
        hero.visited.add(place.key)
        ground = [WARES[ware].name for ware in place.wares]
        if place.herrings:
            ground.append(coins(place.herrings))
        beings = [other.name for other in place.heroes if other is not hero]
        beings += [beast.name for beast in place.beasts]
        hero.tell(room_view(room.title, prose, ground, beings, EXITS[place.key], self.rng))

    def move(self, hero: Hero, end: Place) -> None:
        """Put a hero elsewhere, out of any fight, without a word to anyone."""
        combat.disengage(hero)
        hero.posture = ""
        hero.place.heroes.remove(hero)
        hero.place = end
        end.heroes.append(hero)

    def walk(self, hero: Hero, direction: str) -> None:
        """A hero goes through an exit that exists, and those who follow it go too."""
        start, end = hero.place, self.places[EXITS[hero.place.key][direction]]
        away, back = heading(direction), origin(OPPOSITE[direction])
        followers = [other for other in start.heroes if other.leader is hero]
        self.move(hero, end)
        self.announce(start, f"{YELLOW}{hero.name} leaves {away}.", *followers)
        self.announce(end, f"{YELLOW}{hero.name} walks in from {back}.", hero)
        self.look(hero)
        for follower in followers:
            follower.tell(f"{YELLOW}You follow {hero.name} {away}.")
            self.move(follower, end)
            self.announce(start, f"{YELLOW}{follower.name} follows {hero.name} {away}.", *followers)
            self.announce(end, f"{YELLOW}{follower.name} follows {hero.name} in from {back}.", follower)
            self.look(follower)

    def bury(self, beast: Beast) -> None:
        """A beast is gone from the realm."""
        self.beasts.remove(beast)
        beast.place.beasts.remove(beast)

    # The clock and the lines.

    def _after(self, seconds: float, action: Callable[..., None], *arguments: object) -> None:
        self._appointments += 1
        heapq.heappush(self._agenda, (self.now + seconds, self._appointments, action, arguments))

    def _beat(self, seconds: float, pulse: Callable[[World], None]) -> None:
        pulse(self)
        self._after(seconds, self._beat, seconds, pulse)

    def _on_typed(self, line: Line, text: str) -> None:
        line.typed_at = self.now
        self._after(ANSWER_S, self._answer, line, text)

    def _on_hang_up(self, line: Line) -> None:
        if call := self._calls.get(line):
            call.close()

    def _pick_up(self, line: Line) -> None:
        if not line.closed:
            self._calls[line] = front.attend(self, line)
            self._answer(line, None)

    def _answer(self, line: Line, text: str | None) -> None:
        """Let the conversation go on with a typed line; what comes before it or after it is lost."""
        call = self._calls.get(line)
        if line.closed or call is None:
            return
        try:
            call.send(text)
        except StopIteration:
            line.close()

    def _watch_idlers(self) -> None:
        """Warn heroes whose callers have typed nothing for long, and close lines nobody seems to hold."""
        for hero in self.playing():
            if IDLE_WARNING_S <= self.now - hero.line.typed_at < IDLE_WARNING_S + IDLE_CHECK_S:
                hero.tell(f"{ALARM}The sister in grey looks at you. Type something, or you will be shown out.")
        for line in self._calls:
            if not line.closed and self.now - line.typed_at >= IDLE_LIMIT_S:
                self._on_hang_up(line)
                line.send(front.TIMED_OUT)
                line.close()
        self._after(IDLE_CHECK_S, self._watch_idlers)
