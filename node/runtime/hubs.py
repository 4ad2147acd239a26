"""One of head office's processes: it asks the engine, serves the stores that it owns, and copies others.

What it owns is decided in `node/hubs/ownership.py`. Here questions are carried out on a thread, one at a time, and a
store is served once its charter was taken over: the tokens that were made at the owner before.
"""

from __future__ import annotations

import itertools
import logging
import uuid
from functools import partial
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import trio
from attrs import asdict, evolve, field

from crdt.classes import define, frozen
from crdt.hlc import iso
from node.config.sections import SITE, Config
from node.errors import ConfigError
from node.hubs.engine import Engine, EngineAway, Member
from node.hubs.ownership import Answer, Ownership, Question, Wait, carry_out
from node.runtime.api.tokens import new_token, token_hash
from node.runtime.certificates import Recognition
from node.runtime.dialler import Dialler
from node.runtime.kept_realm import NotOpened
from node.runtime.net.http import error_response
from node.runtime.net.passing import OFFICE, PASSED, Way
from node.runtime.realm import now
from node.runtime.realms import Realms
from node.runtime.whole_files import put_file
from node.wire.close_codes import TRY_AGAIN_LATER
from node.wire.links.handshake import NODE_TYPE
from storage.records import TokenRow
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from node.core.core import Core
    from node.runtime.net.http import Request, Response

logger = logging.getLogger("comanda.hubs")

FILE = "hubs.json"
"""In the data directory: the token that this process shows to the others, and what `Ownership` has to remember."""

LABEL = "head office"
"""Of the tokens of the processes."""

PATIENCE = 1 / 3
"""The part of a lease's time for which an answer of the database is waited for: it may then be asked once more."""

LOOK_S = 0.1
"""How often it is looked whether something that is served is still owned."""

REST_S = 0.5
"""Longest time between two looks at what is to be asked."""

TURN_S = 1.0
"""How long stores are begun, before the engine is asked again."""

AGAIN_S = 2.0
"""How long a store that could not be copied is left alone."""

OPENINGS = 2
"""Copies that are opened at one time: what is owned already is not to wait for hundreds."""

NAMED = 10
"""Stores that are named in one line of the log."""

NOBODY = "no process of head office has this store at the moment"


@frozen
class Remembered:
    """What `FILE` holds."""

    token: str
    floors: dict[str, int]
    copies: frozenset[str] = frozenset()

    @classmethod
    def read(cls, data: Path) -> Remembered:
        """Of a data directory; at its first start, a new token. Raises OSError or ConfigError."""
        try:
            said = orjson.loads((data / FILE).read_bytes())
            floors = {str(realm): int(floor) for realm, floor in said["floors"].items()}
            return cls(str(said["token"]), floors, frozenset(map(str, said["copies"])))
        except FileNotFoundError:
            return cls(new_token(), {})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{data / FILE} is damaged: {error!r}; without it a new one is made") from error

    def write(self, data: Path) -> None:
        """Raises OSError."""
        said = {"token": self.token, "floors": self.floors, "copies": sorted(self.copies)}
        put_file(data / FILE, orjson.dumps(said), 0o600)


@define(eq=False, kw_only=True)
class Hubs:
    """engine: it blocks, so it is called on a thread. address: where the others reach this process."""

    nursery: trio.Nursery
    realms: Realms
    config: Config
    node_id: str
    address: str
    engine: Engine
    ownership: Ownership = field(init=False)
    _remembered: Remembered = field(init=False)
    _served: dict[str, tuple[int, frozenset[Member]]] = field(factory=dict, init=False)
    """Realm -> the lease's token under which it is served, and which processes' tokens it takes."""
    _rows: dict[str, list[TokenRow]] = field(factory=dict, init=False)
    """Realm -> its tokens when it was begun."""
    _copied: dict[str, tuple[Member, trio.CancelScope]] = field(factory=dict, init=False)
    """Realm -> from whom it is copied."""
    _said: dict[str, str] = field(factory=dict, init=False)
    """What is wrong, by what it is about: each is said once."""
    _asking: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _openings: trio.Semaphore = field(factory=lambda: trio.Semaphore(OPENINGS), init=False)
    _attempts: itertools.count[int] = field(factory=lambda: itertools.count(1), init=False)

    def __attrs_post_init__(self) -> None:
        """Raises OSError or ConfigError."""
        known = self._remembered = Remembered.read(self._data)
        known.write(self._data)
        instance = f"{self.node_id}.{uuid.uuid4().hex}"
        self.ownership = Ownership(
            member=Member(instance, self.node_id, self.address, token_hash(known.token)),
            ttl_ms=int(self.config.hubs.lease_s * 1000),
            realms=lambda: [kept.name for kept in self.realms.kept()],
            floors=dict(known.floors),
            copies=set(known.copies),
            complete=self._complete,
            wanted=self._wanted,
        )

    @property
    def _data(self) -> Path:
        return Path(self.config.node.data)

    # ------------------------------------------------------------------ who answers a request

    def serves(self, realm: str) -> bool:
        """Whether it is answered here."""
        served = self._served.get(realm)
        return served is not None and self.ownership.owned(_now_ms()).get(realm) == served[0]

    def _exists(self, realm: str) -> bool:
        """Whether any process may have a store. Until the engine has answered, that is not known of any."""
        return not self.ownership.heard or self.ownership.knows(realm) or self.realms.find(realm) is not None

    def elsewhere(self) -> list[dict[str, object]]:
        """The stores of which nothing is kept here, and who owns each."""
        known = self.ownership.known()
        names = [realm for realm in known if SITE.match(realm) and self.realms.find(realm) is None]
        return [{"realm": realm, "owner": self.owner(realm)} for realm in sorted(names)]

    def offices(self) -> list[str]:
        """The other processes that are there, by their nodes."""
        return sorted(one.node for one in self.ownership.others())

    def owner(self, realm: str) -> str | None:
        """The node that owns a store, as far as known."""
        owner = self.ownership.owner(realm)
        return None if owner is None else owner.node

    def way(self, request: Request, realm: str) -> Way | Response | None:
        """To the process that answers; None where that is this one, or nobody keeps such a store."""
        if self.serves(realm) or not self._exists(realm):
            return None
        owner = self.ownership.owner(realm)
        if owner is None or owner == self.ownership.member or PASSED in request.headers:
            return error_response(503, NOBODY)
        try:
            trust = self._recognition(owner).trust() if owner.address.startswith("wss:") else None
        except ConfigError as error:
            if self._is_news(owner.address, str(error)):
                logger.error(
                    "nothing is passed on to %(address)s: %(reason)s", {"address": owner.address, "reason": error}
                )
            return error_response(503, NOBODY)
        return Way(owner.address, trust, "" if request.user is None else self._remembered.token)

    def user_of(self, request: Request, realm: str) -> str | None:
        """Of which process's machine the user is for whom another process asks. It reads and writes as a terminal, of
        what is owned here: tokens and codes are its owner's."""
        token = request.headers.get(OFFICE)
        if token is None or request.method != "GET" or PASSED not in request.headers or not self.serves(realm):
            return None
        shown = token_hash(token)
        return next((one.node for one in self.ownership.others() if compare_digest(one.token_hash, shown)), None)

    def misplaced(self, realm: str) -> str | None:
        """Why a command for a store is not carried out here; None where it is."""
        if self.serves(realm) or not self._exists(realm):
            return None
        owner = self.ownership.owner(realm)
        return NOBODY if owner is None else f"{owner.node} at {owner.address} has this store: ask there"

    def _recognition(self, owner: Member) -> Recognition:
        return Recognition(self.config.links.address(owner.address), self.config.tls)

    # ------------------------------------------------------------------ asking the engine

    async def run(self) -> None:
        """Until `stop`."""
        self.nursery.start_soon(self._watch)
        with self._asking:
            while True:
                await self._begin()
                self._copy()
                question = self.ownership.next(_now_ms())
                if isinstance(question, Wait):
                    await trio.sleep(min(max(question.ms, 0) / 1000, REST_S))
                else:
                    await self._ask(question)

    @property
    def _patience_s(self) -> float:
        return PATIENCE * self.ownership.ttl_ms / 1000

    async def _carried_out(self, question: Question) -> Answer:
        """Raises EngineAway."""
        ask = partial(carry_out, self.engine, self.ownership.member, question, self.ownership.ttl_ms)
        return await trio.to_thread.run_sync(ask, abandon_on_cancel=True)

    async def _ask(self, question: Question) -> None:
        ownership = self.ownership
        try:
            with trio.fail_after(self._patience_s):
                answer = await self._carried_out(question)
        except (EngineAway, trio.TooSlowError) as error:
            self.engine.cut()
            ownership.failed(_now_ms())
            reason = str(error) or "it is too slow"
            if self._is_news("engine", reason):
                logger.error("the database does not answer: %(reason)s", {"reason": reason})
            return
        if self._said.pop("engine", None) is not None:
            logger.warning("the database answers again")
        ownership.answered(question, answer, _now_ms())
        known = evolve(self._remembered, floors=dict(ownership.floors), copies=frozenset(ownership.copies))
        if known != self._remembered:
            self._remembered = known
            try:
                await trio.to_thread.run_sync(self._remembered.write, self._data)
            except OSError as error:
                if self._is_news(FILE, str(error)):
                    logger.error("%(file)s cannot be written: %(reason)s", {"file": FILE, "reason": error})

    async def stop(self) -> None:
        """Give everything away, so that nobody has to wait for the lease's end."""
        self._asking.cancel()
        question = self.ownership.release_all()
        with trio.move_on_after(self._patience_s):
            try:
                await self._carried_out(question)
                await trio.to_thread.run_sync(self.engine.leave, self.ownership.member, abandon_on_cancel=True)
            except EngineAway as error:
                logger.warning("leaving without a word: %(reason)s", {"reason": error})

    def _is_news(self, about: str, wrong: str) -> bool:
        """Whether it is logged: each change once."""
        if self._said.get(about) == wrong:
            return False
        self._said[about] = wrong
        return True

    # ------------------------------------------------------------------ serving

    async def _begin(self) -> None:
        """Serve what is owned, once what the owner before has left is taken over."""
        until_s, begun = trio.current_time() + TURN_S, list[str]()
        for realm, token in self.ownership.owned(_now_ms()).items():
            others = self._let_in(realm)
            if self._served.get(realm) == (token, others):
                continue
            if trio.current_time() > until_s:
                break
            try:
                kept = await self.realms.made(realm)
                left = self._left(realm)
                self._rows[realm] = await kept.take_tokens([*left, *map(_of_process, others)])
            except (NotOpened, StorageError, OSError, ConfigError) as error:
                if self._is_news(realm, str(error)):
                    logger.error("%(realm)s is not served: %(reason)s", {"realm": realm, "reason": error})
                continue
            self._said.pop(realm, None)
            if realm not in self._served:
                begun.append(realm)
            self._served[realm] = token, others
        if begun:
            logger.warning("owned here from now on: %(realms)s", {"realms": _named(begun)})

    def _left(self, realm: str) -> list[TokenRow]:
        """The tokens that the owner before has left. What cannot be read stops no store."""
        charter = self.ownership.charter(realm).body
        try:
            return [TokenRow(**row) for row in orjson.loads(charter)] if charter else []
        except (ValueError, TypeError) as error:
            if self._is_news(f"tokens of {realm}", str(error)):
                logger.error(
                    "what the owner of %(realm)s has left cannot be read: %(reason)s",
                    {"realm": realm, "reason": error},
                )
            return []

    def _let_in(self, realm: str) -> frozenset[Member]:
        """The processes that need a token of a store: all others, once anybody needs one."""
        return frozenset(self.ownership.others() if self._tokens(realm) else ())

    def _tokens(self, realm: str) -> list[TokenRow]:
        running = self.realms.open(realm)
        return self._rows.get(realm, []) if running is None else running.tokens.rows

    async def _watch(self) -> None:
        """End what is not owned any more, also while the engine does not answer.

        Every open store is looked at, so that whoever was let in before ownership ended is found as well.
        """
        while True:
            owned = self.ownership.owned(_now_ms())
            ended = [realm for realm, (token, _) in self._served.items() if owned.get(realm) != token]
            for realm in ended:
                del self._served[realm]
            for realm, running in self.realms.running():
                if realm not in self._served:
                    running.endpoint.close_all(TRY_AGAIN_LATER, "another process of head office has this store")
            if ended:
                logger.warning("not owned here any more: %(realms)s", {"realms": _named(ended)})
            await trio.sleep(LOOK_S)

    def _wanted(self, realm: str) -> bytes | None:
        """The tokens of a store, for its next owner."""
        return _written(self._tokens(realm)) if realm in self._served else None

    def _complete(self, realm: str, node: str) -> bool:
        """Whether another process has all that is here."""
        running = self.realms.open(realm)
        link = None if running is None else running.core.links.by_node.get(node)
        return link is not None and link.caught_up

    # ------------------------------------------------------------------ copying

    def _copy(self) -> None:
        """Copy what is to be copied here, from who owns it."""
        wanted = self.ownership.followed()
        for realm, (owner, scope) in list(self._copied.items()):
            if wanted.get(realm) != owner:
                scope.cancel()
                del self._copied[realm]
        for realm, owner in wanted.items():
            if realm not in self._copied:
                scope = trio.CancelScope()
                self._copied[realm] = owner, scope
                self.nursery.start_soon(self._follow, realm, owner, scope)

    async def _follow(self, realm: str, owner: Member, scope: trio.CancelScope) -> None:
        """An ordinary link to the owner, side by side."""
        with scope:
            while True:
                try:
                    kept = await self.realms.made(realm)
                    if not kept.open_to_all:
                        await kept.take_tokens([_of_process(owner)])
                    await kept.run_beside(partial(self._dialler, owner), self._openings)
                except (NotOpened, StorageError, OSError, ConfigError) as error:
                    if self._is_news(f"{realm} from {owner.node}", str(error)):
                        logger.error(
                            "%(realm)s is not copied from %(node)s: %(reason)s",
                            {"realm": realm, "node": owner.node, "reason": error},
                        )
                await trio.sleep(AGAIN_S)

    def _dialler(self, owner: Member, core: Core) -> Dialler:
        links = self.config.links
        at = {owner.address: evolve(links.address(owner.address), token=self._remembered.token)}
        alone = evolve(links, upstream=None, peers=[], office=None, token=None, at=at, paused_s=AGAIN_S)
        return Dialler(
            core=core,
            url=owner.address,
            role="peer",
            settings=alone,
            attempts=self._attempts,
            own=self.config.tls,
            patience_s=self.config.hubs.lease_s,  # the owner takes the token once it has heard of this process
        )


def _named(realms: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = "" if len(realms) <= NAMED else f" and {len(realms) - NAMED} more"
    return ", ".join(sorted(realms)[:NAMED]) + more


def _of_process(one: Member) -> TokenRow:
    """The token that another process shows; worth something in every store."""
    return TokenRow(one.token_hash, one.node, NODE_TYPE, LABEL, iso(now().wall_ms), None)


def _written(rows: list[TokenRow]) -> bytes:
    """Tokens as a charter, without their use, which changes all the time."""
    told = [asdict(row, filter=lambda attribute, _: attribute.name not in ("used_at", "used_from")) for row in rows]
    return orjson.dumps(sorted(told, key=lambda row: str(row["token_hash"])))


def _now_ms() -> float:
    return trio.current_time() * 1000
