"""The host: the clock of the realm, and the connections of its callers.

`World` uses no sockets, files or real time. Its owner opens connections, passes on what callers type, and calls
`tick` to advance the clock and to collect what is to be sent.
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
"""Delay between the terminal query and the banner."""
ANSWER_S = 0.12
"""Delay between the end of a typed line and its answer. The echo is immediate."""
IDLE_CHECK_S, IDLE_WARNING_S, IDLE_LIMIT_S = 15, 120, 300
"""Interval between checks for idle callers; idle times after which they are warned and disconnected."""

PERIODIC = (
    (2.0, nature.wander),
    (3.0, nature.respawn),
    (4.0, combat.fight_round),
    (6.0, nature.recover),
    (20.0, nature.play_ambience),
    (60.0, nature.change_weather),
    (240.0, nature.advance_hour),
)
"""Periodic events: the interval in seconds, and the function to call."""


class World:
    """The realm and the bulletin board in front of it.

    Args:
        seed: Decides everything random. The same seed and input give the same bytes.
    """

    def __init__(self, seed: int = 0) -> None:
        self.realm = Realm(seed)
        self.now = 0.0
        """Seconds since the world was created."""
        self._conversations: dict[Connection, Generator[None, str, None] | None] = {}
        """The conversation on each open connection; None until the host has picked up."""
        self._queue: list[tuple[float, int, Callable[..., None], tuple]] = []
        """Heap of scheduled calls: time, serial number, function, arguments."""
        self._scheduled = 0
        """Serial number of the newest scheduled call; calls at one time run in this order."""
        for area, plan in AREAS.items():
            for _ in range(plan.population):
                nature.spawn(self.realm, area)
        for seconds, event in PERIODIC:
            self._schedule(seconds, self._run_periodic, seconds, event)
        self._schedule(IDLE_CHECK_S, self._check_idle)

    def connect(self) -> Connection:
        """Open a connection. The banner follows after `PICK_UP_S`."""
        connection = Connection(self._on_line, self._on_hang_up)
        connection.typed_at = self.now
        connection.send(board.SENSING)
        self._conversations[connection] = None
        self._schedule(PICK_UP_S, self._pick_up, connection)
        return connection

    def tick(self, seconds: float) -> dict[Connection, bytes]:
        """Advance the clock.

        Returns:
            The bytes to send on each connection; connections without any are absent.
        """
        end = self.now + seconds
        while self._queue[0][0] <= end:
            self.now, _, action, arguments = heapq.heappop(self._queue)
            action(*arguments)
        self.now = end
        sent = {connection: data for connection in self._conversations if (data := connection.flush())}
        for connection in [connection for connection in self._conversations if connection.closed]:
            del self._conversations[connection]
        return sent

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
        if conversation := self._conversations.get(connection):
            conversation.close()

    def _pick_up(self, connection: Connection) -> None:
        if not connection.closed:
            conversation = self._conversations[connection] = board.answer_call(self.realm, connection)
            next(conversation)

    def _answer(self, connection: Connection, text: str) -> None:
        """Continue the conversation with a typed line.

        Lines typed before the banner are dropped.
        """
        conversation = self._conversations.get(connection)
        if connection.closed or conversation is None:
            return
        try:
            conversation.send(text)
        except StopIteration:
            connection.close()

    def _check_idle(self) -> None:
        """Warn idle players, and close connections that have been idle too long."""
        for hero in self.realm.playing():
            idle_s = self.now - hero.connection.typed_at if hero.connection else 0.0
            if IDLE_WARNING_S <= idle_s < IDLE_WARNING_S + IDLE_CHECK_S:
                hero.show(f"{ALARM}The sister in grey looks at you. Type something, or you will be shown out.")
        for connection in self._conversations:
            if not connection.closed and self.now - connection.typed_at >= IDLE_LIMIT_S:
                self._on_hang_up(connection)
                connection.send(board.TIMED_OUT)
                connection.close()
        self._schedule(IDLE_CHECK_S, self._check_idle)
