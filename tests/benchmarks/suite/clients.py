"""Which clients take part in which part of the suite, and which of them cannot run here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import machine
from .arguments import Settings, Sizes
from .results import Part, Ratio, Row

PEERS = Path(__file__).parent / "peers"
OWN = "rxresponses"
BARE = "bare websockets"
OPENAI, NODE_OPENAI, ZOD = "openai (Python)", "openai (Node)", "ws + zod (Node)"
RESPONSES = "4"  # that a client gets one after the other, where its interpreter may get quicker


@dataclass(frozen=True)
class Client:
    """A program that is measured.  Its last line is a JSON object of figures."""

    command: Sequence[str]
    rows: Mapping[str, str]
    """The row of each of its figures."""
    missing: str | None = None
    """Why it cannot run here."""
    folder: Path | None = None
    script: Path | None = None
    """A file that the program reads from its standard input."""


@dataclass(frozen=True)
class Plan:
    """A part of the suite, before it has run."""

    key: str
    title: str
    unit: str
    clients: Sequence[Client]
    ratios: Sequence[Ratio]
    more_is_better: bool = True

    def empty(self) -> Part:
        """Return the part without figures; what is compared stands together."""
        keys = dict.fromkeys(key for client in self.clients for key in client.rows)
        rows = [
            Row(client.rows[key], missing=client.missing)
            for key in keys
            for client in self.clients
            if key in client.rows
        ]
        return Part(self.key, self.title, self.unit, rows, self.ratios, self.more_is_better)


@dataclass(frozen=True)
class Found:
    """The programs that are there."""

    peer_python: str
    node_dir: Path | None
    openai: str | None = None
    """Why the official Python client cannot run; `None` if it can."""
    node: Mapping[str, str | None] = field(default_factory=dict)
    """The same for the packages of Node."""
    uvloop: str | None = None


def find(settings: Settings) -> Found:
    """Look which peers are there."""
    versions = machine.python_versions(settings.peer_python)
    absent = [name for name in ("openai", "websockets") if not versions.get(name)]
    openai = "no `openai[realtime]` in the Python of --peer-python" if absent else None
    packages = machine.node_versions(settings.node_dir)
    node: dict[str, str | None] = {}
    for name, version in packages.items():
        if settings.node_dir is None:
            node[name] = "no --node-dir"
        elif machine.node_version() is None:
            node[name] = "no `node` on the PATH"
        else:
            node[name] = None if version else f"no package `{name}` in the folder of --node-dir"
    uvloop = None if machine.own_version("uvloop") else "`uvloop` is not installed"
    return Found(settings.peer_python, settings.node_dir, openai, node, uvloop)


def plans(settings: Settings, found: Found, urls: Mapping[str, str]) -> list[Plan]:
    """Return the parts that were asked for."""
    make = {
        "throughput": throughput,
        "latency": latency,
        "scaling": scaling,
        "memory": memory,
        "transports": transports,
        "startup": startup,
    }
    return [make[key](settings.sizes, found, urls) for key in settings.only]


def throughput(sizes: Sizes, found: Found, urls: Mapping[str, str]) -> Plan:
    """Responses one after the other on one connection, as fast as the client takes them.

    In the order of a round, this library is between the clients with which it is compared most closely.
    """
    words = [urls["plain"], str(sizes.deltas)]
    again = [*words, RESPONSES]
    pipelines = {name: f"{OWN}, {name}" for name in ("text_deltas", "accumulate_text")}

    def rows(name: str) -> dict[str, str]:
        return {"first": name, "later": f"{name}, later responses", "busy": f"{name}, by processor time"}

    clients = [
        own("blast_websockets", rows(BARE), *again),
        own("blast_rxresponses", rows(OWN), *again),
        node(found, "blast_zod", rows(ZOD), *again, needs=("ws", "zod")),
        node(found, "blast_openai", rows(NODE_OPENAI), *again, needs=("openai", "ws")),
        *(own("blast_rxresponses", {"first": row}, *words, "1", name) for name, row in pipelines.items()),
        python(found, "blast_openai", {key: rows(OPENAI)[key] for key in ("first", "busy")}, *words, "1"),
    ]
    ratios = [Ratio(f"{OWN} / {peer}", OWN, peer) for peer in (ZOD, NODE_OPENAI, BARE, OPENAI)]
    ratios += [Ratio(f"{row} / {BARE}", row, BARE) for row in pipelines.values()]
    for key in ("later", "busy"):
        ours = rows(OWN)[key]
        for client in clients:
            if key in client.rows and client.rows[key] != ours:
                ratios.append(Ratio(f"{OWN} / {client.rows[key]}", ours, client.rows[key]))
    return Plan("throughput", f"Throughput, one response of {sizes.deltas:,} deltas", "deltas/s", clients, ratios)


def latency(sizes: Sizes, found: Found, urls: Mapping[str, str]) -> Plan:
    """From the server's write to the program, with many streams that are far slower than the client."""
    streams, rate, _ = sizes.paced
    words = ["latency", urls["plain"], *map(str, sizes.paced)]
    kinds = ("p50", "p99")
    clients = [
        own(program, {kind: f"{client}, {kind}" for kind in kinds}, *words)
        for client, program in ((OWN, "streams_rxresponses"), (BARE, "streams_websockets"))
    ]
    ratios = [Ratio(f"{kind}: {OWN} / {BARE}", f"{OWN}, {kind}", f"{BARE}, {kind}") for kind in kinds]
    title = f"Latency, {streams} streams of {rate:g} deltas/s, from the server's write to on_next"
    return Plan("latency", title, "µs", clients, ratios, more_is_better=False)


def scaling(sizes: Sizes, found: Found, urls: Mapping[str, str]) -> Plan:
    """The rate of many streams together, by the rate of one."""
    counts = [str(count) for count in sizes.streams]
    names = {str(count): streams(count) for count in sizes.streams}
    # By processor time only with the fewest and the most, which says enough.
    names |= {f"busy {count}": f"{names[count]}, by processor time" for count in (counts[0], counts[-1])}
    clients, ratios = [], []
    for client, program in ((OWN, "streams_rxresponses"), (BARE, "streams_websockets")):
        rows = {key: f"{client}, {name}" for key, name in names.items()}
        clients.append(own(program, rows, "scaling", urls["plain"], str(sizes.total), *counts))
        ratios += [Ratio(f"{rows[count]} / {names[counts[0]]}", rows[count], rows[counts[0]]) for count in counts[1:]]
        ratios.append(Ratio(f"{rows[f'busy {counts[-1]}']} / 1", rows[f"busy {counts[-1]}"], rows[f"busy {counts[0]}"]))
    for name in names.values():
        ratios.append(Ratio(f"{name}: {OWN} / {BARE}", f"{OWN}, {name}", f"{BARE}, {name}"))
    title = "Scaling, each stream has responses of 200 deltas one after the other, 16 streams a connection"
    return Plan("scaling", title, "events/s", clients, ratios)


def memory(sizes: Sizes, found: Found, urls: Mapping[str, str]) -> Plan:
    """The memory of responses in flight; that of the connections is shown beside it."""
    words = ["memory", urls["plain"], str(sizes.held)]
    kinds = {"response": "a response in flight", "connection": "a connection", "all": "a response with its share"}
    missing = None if Path("/proc/self/statm").exists() else "this system does not show the resident memory"
    clients = [
        own(program, {key: f"{client}, {kind}" for key, kind in kinds.items()}, *words, missing=missing)
        for client, program in ((OWN, "streams_rxresponses"), (BARE, "streams_websockets"))
    ]
    ratios = [Ratio(f"{kind}: {OWN} / {BARE}", f"{OWN}, {kind}", f"{BARE}, {kind}") for kind in kinds.values()]
    title = f"Memory, {sizes.held:,} responses in flight, 16 on a connection"
    return Plan("memory", title, "bytes", clients, ratios, more_is_better=False)


def startup(sizes: Sizes, found: Found, urls: Mapping[str, str]) -> Plan:
    """From nothing to the first text."""
    kinds = {
        "import": "import alone",
        "request": "until the request is sent",
        "text": "until the first text",
    }
    clients, ratios = [], []
    for client, python_path, missing in ((OWN, sys.executable, None), ("openai", found.peer_python, found.openai)):
        rows = {key: f"{client}, {kind}" for key, kind in kinds.items()}
        clients.append(own("startup", rows, client, python_path, urls["plain"], str(sizes.starts), missing=missing))
    for kind in kinds.values():
        ratios.append(Ratio(f"{kind}: {OWN} / {OPENAI}", f"{OWN}, {kind}", f"openai, {kind}"))
    return Plan(
        "startup", "Start of `rxresponses ask`, and of a small program with openai", "ms", clients, ratios, False
    )


def streams(count: int) -> str:
    """Return a number of streams, for a name."""
    return f"{count:,} {'stream' if count == 1 else 'streams'}"


def transports(sizes: Sizes, found: Found, urls: Mapping[str, str]) -> Plan:
    """The same over TLS, with compression, and on another event loop; both clients in a loop of their own."""
    clients, ratios = [], []
    for way in ("plain", "TLS", "compressed", "uvloop"):
        ours, bare = (
            {"first": f"{client}, {way}", "busy": f"{client}, {way}, by processor time"} for client in (OWN, BARE)
        )
        words = [urls.get(way, urls["plain"]), str(sizes.deltas), "1"]
        loop = "uvloop" if way == "uvloop" else "asyncio"
        flags = ["compressed"] if way == "compressed" else []
        missing = found.uvloop if way == "uvloop" else None
        clients.append(own("blast_rxresponses", ours, *words, "three operators", loop, *flags, missing=missing))
        clients.append(own("blast_websockets", bare, *words, loop, *flags, missing=missing))
        ratios.append(Ratio(f"{way}: {OWN} / {BARE}", ours["first"], bare["first"]))
        ratios.append(Ratio(f"{way}, by processor time: {OWN} / {BARE}", ours["busy"], bare["busy"]))
        if way != "plain":
            ratios.append(Ratio(f"{OWN}: {way} / plain", ours["first"], f"{OWN}, plain"))
            ratios.append(Ratio(f"{BARE}: {way} / plain", bare["first"], f"{BARE}, plain"))
    title = f"Transports, one response of {sizes.deltas:,} deltas"
    return Plan("transports", title, "deltas/s", clients, ratios)


def own(program: str, rows: Mapping[str, str], *words: str, missing: str | None = None) -> Client:
    """Return a program for the Python that runs the suite, which has this library and websockets."""
    return Client([sys.executable, "-m", f"{__package__}.peers.{program}", *words], rows, missing)


def python(found: Found, program: str, rows: Mapping[str, str], *words: str) -> Client:
    """Return a program for the Python that has the official client."""
    return Client([found.peer_python, "-m", f"{__package__}.peers.{program}", *words], rows, found.openai)


def node(found: Found, program: str, rows: Mapping[str, str], *words: str, needs: Sequence[str]) -> Client:
    """Return a program for Node.  It is read from standard input, where it finds packages by the current folder."""
    missing = next((found.node[name] for name in needs if found.node[name]), None)
    command = ["node", "--input-type=module", "-", *words]
    return Client(command, rows, missing, found.node_dir, PEERS / f"{program}.mjs")
