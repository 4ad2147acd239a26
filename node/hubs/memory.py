"""An engine in memory: the one that the simulation of ownership runs on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import deepcopy

from attrs import evolve, field

from crdt.classes import define, frozen
from node.hubs.engine import Charter, Claimed, Lease, Member, Standing


@frozen
class _Realm:
    token: int = 0
    owner: str = ""
    until_ms: float = 0.0
    charter: Charter = field(factory=Charter)


@define(eq=False)
class MemoryEngine:
    """now_ms: its clock."""

    now_ms: Callable[[], float]
    realms: dict[str, _Realm] = field(factory=dict, init=False)
    members: dict[str, tuple[Member, float]] = field(factory=dict, init=False)

    def beat(self, member: Member, held: Mapping[str, int], realms: Collection[str], ttl_ms: int) -> Standing:
        now_ms = self.now_ms()
        self.members[member.instance] = (member, now_ms + ttl_ms)
        for name in realms:
            self.realms.setdefault(name, _Realm())
        for name, token in held.items():
            if self._owns(member, name, token):
                self.realms[name] = evolve(self.realms[name], until_ms=now_ms + ttl_ms)
        there = [one for one, until_ms in self.members.values() if until_ms > now_ms]
        leases = {
            name: Lease(realm.token, realm.owner if realm.until_ms > now_ms else "", realm.charter.number)
            for name, realm in self.realms.items()
        }
        return Standing(there, leases)

    def claim(self, member: Member, floors: Mapping[str, int], ttl_ms: int) -> dict[str, Claimed]:
        now_ms, got = self.now_ms(), dict[str, Claimed]()
        for name, floor in floors.items():
            realm = self.realms.get(name)
            if realm is None or (realm.owner not in ("", member.instance) and realm.until_ms > now_ms):
                continue
            token = max(realm.token, floor) + 1
            self.realms[name] = evolve(realm, token=token, owner=member.instance, until_ms=now_ms + ttl_ms)
            got[name] = Claimed(token, realm.charter)
        return got

    def release(self, member: Member, held: Mapping[str, int]) -> None:
        for name, token in held.items():
            if self._owns(member, name, token):
                self.realms[name] = evolve(self.realms[name], owner="")

    def put(self, member: Member, realm: str, token: int, charter: Charter) -> bool:
        if not self._owns(member, realm, token) or charter.number <= self.realms[realm].charter.number:
            return False
        self.realms[realm] = evolve(self.realms[realm], charter=charter)
        return True

    def leave(self, member: Member) -> None:
        self.members.pop(member.instance, None)

    def cut(self) -> None:
        return None

    def _owns(self, member: Member, name: str, token: int) -> bool:
        realm = self.realms.get(name)
        return realm is not None and (realm.owner, realm.token) == (member.instance, token)

    # ------------------------------------------------------------------ faults

    def copy(self) -> tuple[dict[str, _Realm], dict[str, tuple[Member, float]]]:
        """What `set_back` takes."""
        return deepcopy(self.realms), deepcopy(self.members)

    def set_back(self, copied: tuple[dict[str, _Realm], dict[str, tuple[Member, float]]]) -> None:
        """An older state of it is restored."""
        self.realms, self.members = deepcopy(copied)

    def empty(self) -> None:
        """It lost everything."""
        self.realms, self.members = {}, {}
