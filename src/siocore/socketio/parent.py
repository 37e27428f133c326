"""Families of namespaces whose names clients choose, and the directory of all namespaces.

``io.of(re.compile(r"/room-\\d+"))`` makes a :class:`ParentNamespace`. Its children are made when the first client asks
for them, and are gone with the last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from re import Pattern
from typing import TYPE_CHECKING, Any

from siocore.driven import ServerEndpoint
from siocore.errors import LocalProtocolError
from siocore.events import NamespaceCreated
from siocore.socketio.adapter import Adapter
from siocore.socketio.listeners import NAMESPACE_LIFECYCLE, Listeners
from siocore.socketio.namespace import AnyNamespace, Namespace
from siocore.socketio.recovery_memory import RecoveryBudget

if TYPE_CHECKING:
    from siocore.socketio.client import Client

__all__ = ["Directory", "NamespacePredicate", "NamespaceRequest", "ParentNamespace"]

#: Called with the name that a client asks for and its auth value; says whether it may have it.
NamespacePredicate = Callable[[str, Mapping[str, Any]], bool | Awaitable[bool]]


class ParentNamespace(AnyNamespace):
    """``io.of(re.compile(...))`` or ``io.of(predicate)``: the parent of all namespaces whose names match.

    Handlers and middleware that are registered here apply to every child, those that exist and those that are made
    later; broadcasts go to the sockets of all children.
    """

    __slots__ = ("_children", "_directory", "accepts")

    def __init__(self, hub: ServerEndpoint, directory: Directory, accepts: Pattern[str] | NamespacePredicate) -> None:
        super().__init__(hub, Listeners(NAMESPACE_LIFECYCLE))
        self._directory = directory
        #: The regular expression or predicate.
        self.accepts = accepts
        self._children: dict[str, Namespace] = {}

    def __repr__(self) -> str:
        return f"<ParentNamespace {self.accepts!r}, {len(self._children)} children>"

    @property
    def children(self) -> list[Namespace]:
        """The namespaces that there are at present."""
        return list(self._children.values())

    # For the modules beside this one --------------------------------------------------------------------------

    def registries(self) -> list[Listeners]:
        shared = self.registered
        own = [child.registered for child in self._children.values() if child.registered is not shared]
        return [shared, *own]

    def targets(self) -> list[Namespace]:
        return self.children

    @property
    def asks(self) -> bool:
        """Whether the application decides about every client, by a predicate."""
        return not isinstance(self.accepts, Pattern)

    def matches(self, name: str) -> bool:
        """Whether the regular expression matches the whole of a name; a predicate has to be asked."""
        return isinstance(self.accepts, Pattern) and self.accepts.fullmatch(name) is not None

    def add_child(self, child: Namespace) -> None:
        self._children[child.name] = child

    def remove_child(self, child: Namespace) -> None:
        self._children.pop(child.name, None)

    def child_unused(self, child: Namespace) -> None:
        self._directory.end_unused(child)


class NamespaceRequest:
    """A client has asked for a namespace that only the application can decide on: see NamespaceRequested."""

    __slots__ = ("_client", "_following", "auth", "name", "parent")

    def __init__(self, client: Client, name: str, auth: Mapping[str, Any], candidates: list[ParentNamespace]) -> None:
        self.name = name
        #: What the client passed as ``auth``.
        self.auth = auth
        self._client = client
        self._following = iter(candidates)
        #: Whose predicate is asked at present.
        self.parent: ParentNamespace | None = None

    def ask(self) -> Any:
        """Call the predicate."""
        if self.parent is None or isinstance(self.parent.accepts, Pattern):
            raise LocalProtocolError("nobody is to be asked about this namespace")
        return self.parent.accepts(self.name, self.auth)

    def next_parent(self) -> ParentNamespace | None:
        self.parent = next(self._following, None)
        return self.parent

    def answer(self, admitted: bool) -> None:
        """Say what the predicate has said. Does nothing if the client has gone."""
        self._client.decide(self, admitted)

    def refuse(self) -> None:
        """Nobody else is asked: the client is told that there is no such namespace."""
        self._following = iter(())
        self._client.decide(self, False)


class Directory:
    """All namespaces of a server."""

    __slots__ = ("_budget", "_dynamic", "_hub", "_make_adapter", "namespaces", "parents")

    def __init__(self, hub: ServerEndpoint, make_adapter: Callable[[], Adapter] | None) -> None:
        self._hub = hub
        self._make_adapter = make_adapter
        self._dynamic = 0
        self._budget = RecoveryBudget()
        self.namespaces: dict[str, Namespace] = {}
        #: In the order in which they are tried.
        self.parents: list[ParentNamespace] = []

    def of(self, name: str) -> Namespace:
        """The namespace of this name; made if it does not exist, as a child if a parent's pattern matches.

        Raises ValueError for a name that no client could send.
        """
        if not name.startswith("/"):
            name = "/" + name
        if "," in name or "\x1e" in name or len(name) > self._hub.options.limits.max_namespace_length:
            raise ValueError(f"not a name for a namespace: {name!r}")
        namespace = self.namespaces.get(name)
        if namespace is None:
            parent = next((each for each in self.parents if each.matches(name)), None)
            namespace = self._make(name, parent)
        return namespace

    def of_all(self, accepts: Pattern[str] | NamespacePredicate) -> ParentNamespace:
        """The parent of all namespaces that a regular expression or a predicate accepts; made on first use."""
        if isinstance(accepts, Pattern):
            if not isinstance(accepts.pattern, str):
                raise TypeError("a pattern for namespaces is one of str, not of bytes")
        elif not callable(accepts):
            raise TypeError(f"a namespace's name is a str, a pattern or a predicate, not {type(accepts).__name__}")
        for parent in self.parents:
            if parent.accepts == accepts:
                return parent
        parent = ParentNamespace(self._hub, self, accepts)
        self.parents.append(parent)
        return parent

    def candidates(self, name: str) -> list[ParentNamespace]:
        """The parents that are to be tried for a name which a client asks for."""
        namespace = self.namespaces.get(name)
        return self.parents if namespace is None or namespace.parent is None else [namespace.parent]

    def enter(self, name: str, parent: ParentNamespace) -> Namespace | str:
        """The child of this name, made if need be, for a client that its parent accepts; or why there is none."""
        child = self.namespaces.get(name)
        if child is None:
            if self._dynamic >= self._hub.options.limits.max_dynamic_namespaces:
                return "Too many namespaces"
            self._dynamic += 1
            child = self._make(name, parent)
            child.dynamic = True
        elif child.parent is not None and child.parent is not parent:
            # It was made while the predicate was asked, and belongs to a parent that knows nothing of this client.
            return "Invalid namespace"
        return child

    def end_unused(self, child: Namespace) -> None:
        """End a namespace that clients have called into being, if there is nobody who is in it or may come back."""
        if not child.dynamic or child.users or not self._hub.options.cleanup_empty_child_namespaces:
            return
        if child.adapter.holds_sessions() or self.namespaces.get(child.name) is not child:
            return
        del self.namespaces[child.name]
        self._dynamic -= 1
        if child.parent is not None:
            child.parent.remove_child(child)
        if child.recovery is not None:
            child.adapter.stop_recovery()
        child.adapter.close()

    def _make(self, name: str, parent: ParentNamespace | None) -> Namespace:
        adapter = None if self._make_adapter is None else self._make_adapter()
        namespace = Namespace(name, self._hub, adapter, parent, self._budget)
        self.namespaces[name] = namespace
        if parent is not None:
            parent.add_child(namespace)
        if name != "/":
            self._hub.push_event(NamespaceCreated(namespace))
        return namespace
