"""The host as an object: callers dial in, bytes come and go, and the clock runs when told to.

`World` knows nothing of sockets, files or the time of day. Whoever owns it connects lines, hands them what
was typed, and calls `tick` for what is to be sent.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator

from greylord.realm import board, combat, nature
from greylord.realm.areas import AREAS
from greylord.realm.connection import Connection
from greylord.realm.screen import ALARM
from greylord.realm.state import Realm

__all__ = ["World"]

PICK_UP_S = 1.5
"""How long the host senses the caller's terminal before it shows the banner."""
ANSWER_S = 0.12
"""From the end of a typed line to its answer; the echo comes first."""
IDLE_CHECK_S, IDLE_WARNING_S, IDLE_LIMIT_S = 15, 120, 300

PERIODIC = (
    (2.0, nature.wander),
    (3.0, nature.respawn),
    (4.0, combat.fight_round),
    (6.0, nature.recover),
    (20.0, nature.play_ambience),
    (60.0, nature.change_weather),
    (240.0, nature.advance_hour),
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
        self._conversations: dict[Connection, Generator[None, str, None] | None] = {}
        """The open lines, each with its conversation once the host has picked up."""
        self._queue: list[tuple[float, int, Callable[..., None], tuple]] = []
        self._scheduled = 0
        for area, plan in AREAS.items():
            for _ in range(plan.population):
                nature.spawn(self.realm, area)
        for seconds, event in PERIODIC:
            self._schedule(seconds, self._run_periodic, seconds, event)
        self._schedule(IDLE_CHECK_S, self._check_idle)

    # For the owner of the world.

    def connect(self) -> Connection:
        """A caller dials in."""
        connection = Connection(self._on_line, self._on_hang_up)
        connection.typed_at = self.now
        connection.send(board.SENSING)
        self._conversations[connection] = None
        self._schedule(PICK_UP_S, self._pick_up, connection)
        return connection

    def tick(self, seconds: float) -> dict[Connection, bytes]:
        """Let time pass. Returns what each line was sent meanwhile; lines sent nothing are absent."""
        end = self.now + seconds
        while self._queue[0][0] <= end:
            self.now, _, action, arguments = heapq.heappop(self._queue)
            action(*arguments)
        self.now = end
        sent = {connection: data for connection in self._conversations if (data := connection.flush())}
        for connection in [connection for connection in self._conversations if connection.closed]:
            del self._conversations[connection]
        return sent

    # The clock and the lines.

    def _schedule(self, seconds: float, action: Callable[..., None], *arguments: object) -> None:
        self._scheduled += 1
        heapq.heappush(self._queue, (self.now + seconds, self._scheduled, action, arguments))

    def _run_periodic(self, seconds: float, event: Callable[[Realm], None]) -> None:
        event(self.realm)
        self._schedule(seconds, self._run_periodic, seconds, event)

    def _on_line(self, connection: Connection, text: str) -> None:
        connection.typed_at = self.now
        self._schedule(ANSWER_S, self._answer, connection, text)

    def _on_hang_up(self, connection: Connection) -> None:
        if call := self._conversations.get(connection):
            call.close()

    def _pick_up(self, connection: Connection) -> None:
        if not connection.closed:
            self._conversations[connection] = board.answer_call(self.realm, connection)
            self._answer(connection, None)

    def _answer(self, connection: Connection, text: str | None) -> None:
        """Let the conversation go on with a typed line; what comes before it or after it is lost."""
        call = self._conversations.get(connection)
        if connection.closed or call is None:
            return
        try:
            call.send(text)
        except StopIteration:
            connection.close()

    def _check_idle(self) -> None:
        """Warn heroes whose callers have typed nothing for long, and close lines nobody seems to hold."""
        for hero in self.realm.playing():
            if IDLE_WARNING_S <= self.now - hero.connection.typed_at < IDLE_WARNING_S + IDLE_CHECK_S:
                hero.show(f"{ALARM}The sister in grey looks at you. Type something, or you will be shown out.")
        for connection in self._conversations:
            if not connection.closed and self.now - connection.typed_at >= IDLE_LIMIT_S:
                self._on_hang_up(connection)
                connection.send(board.TIMED_OUT)
                connection.close()
        self._schedule(IDLE_CHECK_S, self._check_idle)
