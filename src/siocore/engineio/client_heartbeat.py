"""The heartbeat of a client's session: how it is noticed that the server, or the way to it, is gone.

One timer serves all of it. It is armed anew only when it would be late; when it is early, it finds out when it expires.

Spec: the Engine.IO protocol, "Heartbeat", revisions 4 and 3.
"""

from __future__ import annotations

from siocore.client_options import EngineClientOptions
from siocore.codec.message import ControlPacket
from siocore.engineio import client_states as states
from siocore.engineio.client_handshake import OpenPacket
from siocore.engineio.client_interfaces import ClientSessionOwner
from siocore.engineio.client_outbound import ClientOutbound
from siocore.engineio.client_states import (
    ClientHeartbeatAction,
    ClientHeartbeatInput,
    ClientHeartbeatState,
    ClientSessionState,
)
from siocore.link import LinkUser
from siocore.target import Target
from siocore.timers import Timer

__all__ = ["ClientHeartbeat"]

_PING = ControlPacket(b"2")


class ClientHeartbeat(ClientOutbound):
    """A session that notices when it is over."""

    HEARTBEAT_TIMER = 3

    __slots__ = ("_due", "_heartbeat", "_timer")

    def __init__(self, owner: ClientSessionOwner, user: LinkUser, target: Target, options: EngineClientOptions) -> None:
        super().__init__(owner, user, target, options)
        self._heartbeat = ClientHeartbeatState.LISTENING
        # When the next input is DUE, on the owner's clock.
        self._due = 0.0
        self._timer: Timer | None = None

    # What a session adds

    def fail(self, reason: str, detail: str) -> None:
        """Close the session at once: the server broke a rule or is gone."""
        raise NotImplementedError

    def timer_expired(self, kind: int, now: float) -> None:
        """A timer of the session has passed."""
        raise NotImplementedError

    # For the session

    def _start_heartbeat(self, handshake: OpenPacket) -> None:
        self._alive = self.owner.elapsed
        if self.revision == 3:
            self._heartbeat = ClientHeartbeatState.RESTING
            self._await(handshake.ping_interval)
        else:
            self._await(handshake.ping_interval + handshake.ping_timeout)

    def _heartbeat_due(self, now: float) -> None:
        self._timer = None
        if now < self._due:
            # The deadline has moved since the timer was armed, perhaps often.
            self._timer = self.owner.timers.arm(self._due, self, self.HEARTBEAT_TIMER)
        else:
            self._heartbeat_step(ClientHeartbeatInput.DUE)

    def _heartbeat_step(self, step: ClientHeartbeatInput) -> None:
        handshake = self.handshake
        if handshake is None or self._state is not ClientSessionState.OPEN:
            return
        if step is ClientHeartbeatInput.DUE and self.paused and self._heartbeat is not ClientHeartbeatState.RESTING:
            # We don't read, so what is missed may well be waiting in the kernel. One more read tells: the next event
            # that is too many pauses us again, and nothing at all means that nobody is there.
            self.resume()
            self._await(handshake.ping_timeout)
            return
        action, self._heartbeat = states.CLIENT_HEARTBEAT[self._heartbeat, step]
        if action is ClientHeartbeatAction.ANSWER:
            self._alive = self.owner.elapsed
            self._await(handshake.ping_interval + handshake.ping_timeout)
            self._send_pong()
            self.user.link_pinged(self)
        elif action is ClientHeartbeatAction.SEND_PING:
            self._await(handshake.ping_timeout)
            self._send(_PING)
        elif action is ClientHeartbeatAction.SCHEDULE_PING:
            self._alive = self.owner.elapsed
            self._await(handshake.ping_interval)
            self.user.link_pinged(self)
        elif action is ClientHeartbeatAction.TIME_OUT:
            awaited = "PING" if self.revision == 4 else "PONG"
            self.fail("ping timeout", f"no {awaited} came in time: the server or the network is gone")

    def _await(self, delay: float) -> None:
        """The next input of the heartbeat is DUE in so many seconds."""
        owner = self.owner
        self._due = owner.now + delay
        if self._timer is None or self._timer.deadline > self._due:
            owner.timers.cancel(self._timer)
            self._timer = owner.timers.arm(self._due, self, self.HEARTBEAT_TIMER)
