"""The host as an object: callers dial in, bytes come and go, and the clock runs when told to.

`World` knows nothing of sockets, files or the time of day. Whoever owns it connects lines, hands them what
was typed, and calls `tick` for what is to be sent.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator

from greylord.realm import combat, front, nature
from greylord.realm.atlas import AREAS
from greylord.realm.line import Line
from greylord.realm.screen import ALARM
from greylord.realm.state import Realm

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
        self.realm = Realm(seed)
        self.now = 0.0
        """Seconds since the world began."""
        self._calls: dict[Line, Generator[None, str, None] | None] = {}
        """The open lines, each with its conversation once the host has picked up."""
        self._agenda: list[tuple[float, int, Callable[..., None], tuple]] = []
        self._appointments = 0
        for area, plan in AREAS.items():
            for _ in range(plan.population):
                nature.breed(self.realm, area)
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

    # The clock and the lines.

    def _after(self, seconds: float, action: Callable[..., None], *arguments: object) -> None:
        self._appointments += 1
        heapq.heappush(self._agenda, (self.now + seconds, self._appointments, action, arguments))

    def _beat(self, seconds: float, pulse: Callable[[Realm], None]) -> None:
        pulse(self.realm)
        self._after(seconds, self._beat, seconds, pulse)

    def _on_typed(self, line: Line, text: str) -> None:
        line.typed_at = self.now
        self._after(ANSWER_S, self._answer, line, text)

    def _on_hang_up(self, line: Line) -> None:
        if call := self._calls.get(line):
            call.close()

    def _pick_up(self, line: Line) -> None:
        if not line.closed:
            self._calls[line] = front.attend(self.realm, line)
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
        for hero in self.realm.playing():
            if IDLE_WARNING_S <= self.now - hero.line.typed_at < IDLE_WARNING_S + IDLE_CHECK_S:
                hero.tell(f"{ALARM}The sister in grey looks at you. Type something, or you will be shown out.")
        for line in self._calls:
            if not line.closed and self.now - line.typed_at >= IDLE_LIMIT_S:
                self._on_hang_up(line)
                line.send(front.TIMED_OUT)
                line.close()
        self._after(IDLE_CHECK_S, self._watch_idlers)
