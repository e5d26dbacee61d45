#!/usr/bin/env python3
"""Debian's own package graph, loaded over HTTP and asked five questions.

Needs Python 3.9 or newer and nothing else. Start a server (`cargo run --release`), then

    python3 examples/debian_packages.py

or let the example start one for itself with `--serve target/release/butterflyfx`.

What is loaded, from `apt-cache dumpavail` (Debian, Ubuntu and their kin) or from a file given
with --dumpavail:

* One substrate a package: a `constant` whose value is the package's installed size in KiB, with
  the name, version, section and architecture as metadata. Many packages have the same size, and a
  formula's own identity is the hash of its text; so the identity is chosen here: the first eight
  bytes of SHA-256 over "debian-package:" and the name. A client can compute it without asking.
* Relationships from a package to what its control fields name:
  DEPENDENCY for Depends and Pre-Depends, ADJACENCY for Recommends, ORTHOGONAL for Suggests,
  BOUNDARY for Breaks and Conflicts, LINEAGE for Replaces.
  Of the alternatives `a | b` the first counts that can be had: a package of that name, or else the
  first package (by name) that Provides it. What nothing provides is left out and counted.
  A version asked for (`libc6 (>= 2.36)`) is kept in the relationship's constraints and not
  compared: the list holds one version of each package. A package that names another several times
  in one role gives one relationship; itself, none.

Each answer is compared with a plain walk over Python dicts. Exit code 1 if any differs.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter, deque
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

API = "/api/v1"
LINES_A_REQUEST = 25_000
BYTES_A_CHUNK = 64 * 1024
REQUESTS_IN_FLIGHT = 200
LARGE_KIB = 500_000

ROLE_OF_FIELD = {
    "Depends": "DEPENDENCY",
    "Pre-Depends": "DEPENDENCY",
    "Recommends": "ADJACENCY",
    "Suggests": "ORTHOGONAL",
    "Breaks": "BOUNDARY",
    "Conflicts": "BOUNDARY",
    "Replaces": "LINEAGE",
}
FIELDS = set(ROLE_OF_FIELD) | {
    "Package", "Version", "Section", "Architecture", "Installed-Size", "Provides",
}


class Failure(Exception):
    """Something to tell the person who runs the example."""


# ---- Debian's list ------------------------------------------------------------------------------


class Edge(NamedTuple):
    rel_type: str
    source: str
    target: str
    version: str


class Packages(NamedTuple):
    """The list as plain Python: what is sent to the server, and what its answers are held against."""

    stanzas: Dict[str, Dict[str, str]]
    sizes: Dict[str, int]
    edges: List[Edge]
    unresolved: int

    def following(self, rel_type: str) -> Dict[str, List[str]]:
        following: Dict[str, List[str]] = {name: [] for name in self.stanzas}
        for edge in self.edges:
            if edge.rel_type == rel_type:
                following[edge.source].append(edge.target)
        return following


def read_stanzas(lines: Iterable[str]) -> Dict[str, Dict[str, str]]:
    stanzas: Dict[str, Dict[str, str]] = {}
    stanza: Dict[str, str] = {}
    field = ""
    for line in lines:
        if line[0] in " \t":
            if field in FIELDS:
                stanza[field] += " " + line.strip()
            continue
        if line == "\n":
            if "Package" in stanza:
                stanzas.setdefault(stanza["Package"], stanza)
            stanza, field = {}, ""
            continue
        field, _, value = line.partition(":")
        if field in FIELDS:
            stanza[field] = value.strip()
    if "Package" in stanza:
        stanzas.setdefault(stanza["Package"], stanza)
    return stanzas


# `libc6:any (>= 2.36)`: the name, perhaps an architecture, perhaps a version.
NAMED = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9+.\-]*)(?::[a-z0-9\-]+)?\s*(?:\(([^)]*)\))?")


def read_packages(lines: Iterable[str]) -> Packages:
    stanzas = read_stanzas(lines)
    sizes = {name: int(stanza.get("Installed-Size", "0")) for name, stanza in stanzas.items()}

    providers: Dict[str, str] = {}
    for name in sorted(stanzas):
        for provided in stanzas[name].get("Provides", "").split(","):
            match = NAMED.match(provided)
            if match:
                providers.setdefault(match.group(1), name)

    edges: Dict[Tuple[str, str, str], List[str]] = {}
    unresolved = 0
    for source, stanza in stanzas.items():
        for field, rel_type in ROLE_OF_FIELD.items():
            text = stanza.get(field)
            if not text:
                continue
            # Only what a package asks for may be met by a provider; a conflict means the name itself.
            may_be_provided = rel_type in ("DEPENDENCY", "ADJACENCY", "ORTHOGONAL")
            for alternatives in text.split(","):
                for alternative in alternatives.split("|"):
                    match = NAMED.match(alternative)
                    if not match:
                        continue
                    name, version = match.groups()
                    target: Optional[str] = name if name in stanzas else None
                    if target is None and may_be_provided:
                        target = providers.get(name)
                    if target is None:
                        continue
                    if target != source:
                        versions = edges.setdefault((rel_type, source, target), [])
                        if version and version not in versions:
                            versions.append(version)
                    break
                else:
                    unresolved += 1
    listed = [Edge(*key, ", ".join(versions)) for key, versions in edges.items()]
    return Packages(stanzas, sizes, listed, unresolved)


def dumpavail(path: Optional[str]) -> Iterator[str]:
    if path:
        with open(path, encoding="utf-8", errors="replace") as lines:
            yield from lines
        return
    if not shutil.which("apt-cache"):
        raise Failure("no apt-cache here: give a saved `apt-cache dumpavail` with --dumpavail FILE")
    with subprocess.Popen(
        ["apt-cache", "dumpavail"], stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdout is not None
        yield from process.stdout
    if process.returncode:
        raise Failure(f"apt-cache dumpavail ended with exit code {process.returncode}")


# ---- A plain walk, to compare with --------------------------------------------------------------


def walk(following: Dict[str, List[str]], start: str) -> Dict[str, int]:
    """Everything reachable from `start`, with its distance."""
    depths = {start: 0}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        for target in following[name]:
            if target not in depths:
                depths[target] = depths[name] + 1
                waiting.append(target)
    return depths


# ---- The server ---------------------------------------------------------------------------------


def package_id(name: str) -> str:
    return "0x" + hashlib.sha256(b"debian-package:" + name.encode()).hexdigest()[:16].upper()


def total_id(name: str) -> str:
    return "0x" + hashlib.sha256(b"debian-total:" + name.encode()).hexdigest()[:16].upper()


class Server:
    """A keep-alive connection and the few calls that the example makes."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "//" in url else "//" + url)
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 80
        self.connection = http.client.HTTPConnection(self.host, self.port, timeout=120)

    def call(self, method: str, path: str, body: object = None, content_type: str = "application/json"):
        """One request. A generator as body is streamed in chunks."""
        if body is not None and not hasattr(body, "__next__"):
            body = json.dumps(body).encode()
        headers = {"Content-Type": content_type} if body is not None else {}
        try:
            self.connection.request(method, API + path, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (ConnectionError, http.client.HTTPException, OSError) as error:
            raise Failure(f"{method} {path}: no answer from {self.host}:{self.port} ({error})") from error
        if answer.status >= 300:
            raise Failure(f"{method} {path} answered {answer.status}: {text.decode(errors='replace')[:500]}")
        return json.loads(text) if text else None

    def load(self, path: str, what: str, lines: Iterator[str], count: int, progress: Progress) -> int:
        """Streams NDJSON lines to a batch endpoint, some thousands a request."""
        created = 0
        sent = 0
        while sent < count:
            take = min(LINES_A_REQUEST, count - sent)
            batch = [next(lines) for _ in range(take)]
            query = "?on_conflict=return&results=none"
            answer = self.call("POST", path + query, in_chunks(batch), "application/x-ndjson")
            if answer["failed"]:
                self.explain_failure(path, what, batch, answer["failed"])
            created += answer["created"]
            sent += take
            progress.show(f"{what}: {sent:,} of {count:,}", sent == count)
        return created

    def explain_failure(self, path: str, what: str, batch: List[str], failed: int) -> None:
        """Sends a batch again for its results; what was created is only returned this time."""
        answer = self.call("POST", path + "?on_conflict=return", in_chunks(batch), "application/x-ndjson")
        first = next((item for item in answer["results"] if item.get("code")), {})
        raise Failure(f"{failed} {what} were refused; the first: {json.dumps(first)[:400]}")

    def pipelined(self, paths: List[str]) -> Iterator[dict]:
        """GETs over one connection without waiting for each answer before the next request."""
        with socket.create_connection((self.host, self.port), timeout=60) as connection:
            stream = connection.makefile("rb", buffering=1 << 20)
            for at in range(0, len(paths), REQUESTS_IN_FLIGHT):
                part = paths[at : at + REQUESTS_IN_FLIGHT]
                connection.sendall(
                    "".join(f"GET {API}{path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n" for path in part).encode()
                )
                for path in part:
                    yield self.read_answer(stream, path)

    @staticmethod
    def read_answer(stream, path: str) -> dict:
        status = stream.readline().split()
        length = None
        while True:
            header = stream.readline()
            if header in (b"\r\n", b""):
                break
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(status) < 2 or length is None:
            raise Failure(f"GET {path}: not an HTTP/1.1 answer with a length")
        body = stream.read(length)
        if status[1] != b"200":
            raise Failure(f"GET {path} answered {status[1].decode()}: {body.decode(errors='replace')[:300]}")
        return json.loads(body)


def in_chunks(lines: List[str]) -> Iterator[bytes]:
    """Joins lines into pieces that are worth a packet."""
    piece: List[str] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= BYTES_A_CHUNK:
            yield "".join(piece).encode()
            piece, size = [], 0
    if piece:
        yield "".join(piece).encode()


class Progress:
    """Lines on stderr; on a terminal, one line that is written over."""

    def __init__(self) -> None:
        self.in_place = sys.stderr.isatty()

    def show(self, text: str, done: bool) -> None:
        if self.in_place:
            sys.stderr.write(f"\r\033[K{text}" + ("\n" if done else ""))
        elif done:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()


def substrate_lines(packages: Packages) -> Iterator[str]:
    for name, stanza in packages.stanzas.items():
        size = packages.sizes[name]
        metadata = json.dumps({
            "name": name,
            "version": stanza.get("Version", ""),
            "section": stanza.get("Section", ""),
            "architecture": stanza.get("Architecture", ""),
            "size": size,
        })
        yield (
            f'{{"identity":"{package_id(name)}","expression_type":"constant",'
            f'"expression_code":"{size}","metadata":{metadata}}}\n'
        )


def relationship_lines(packages: Packages) -> Iterator[str]:
    ids = {name: package_id(name) for name in packages.stanzas}
    for edge in packages.edges:
        constraints = f',"constraints":{{"version":{json.dumps(edge.version)}}}' if edge.version else ""
        yield (
            f'{{"rel_type":"{edge.rel_type}","source_id":"{ids[edge.source]}",'
            f'"target_id":"{ids[edge.target]}"{constraints}}}\n'
        )


# ---- The questions ------------------------------------------------------------------------------


class Table:
    """Question, the server's answer, and whether the plain walk has the same."""

    def __init__(self) -> None:
        self.rows: List[Tuple[str, str, str]] = [("question", "answer", "plain walk")]
        self.equal = True

    def add(self, question: str, server: object, plain: object, shown: Optional[str] = None) -> None:
        """`shown` stands for an answer that is too long for a table, where it is right."""
        same = server == plain
        self.equal = self.equal and same
        answer = shown if shown is not None and same else brief(server)
        self.rows.append((question, answer, "equal" if same else f"DIFFERENT: {brief(plain)}"))

    def print(self) -> None:
        widths = [max(len(row[column]) for row in self.rows) for column in range(3)]
        for at, row in enumerate(self.rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
            if at == 0:
                print("  ".join("-" * width for width in widths))


def brief(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def ask(server: Server, packages: Packages, options: argparse.Namespace) -> bool:
    table = Table()
    names = {package_id(name): name for name in packages.stanzas}
    depends_on = packages.following("DEPENDENCY")

    # Everything that the package pulls in.
    top = options.package
    reached = server.call("POST", "/query/traverse", {
        "start_id": package_id(top),
        "rel_types": ["DEPENDENCY"],
        "max_depth": len(names),
        "limit": 1_000_000,
    })
    depths = {names[node["substrate_id"]]: node["depth"] for node in reached["nodes"]}
    plain_depths = walk(depends_on, top)
    plain_edges = sum(1 for name in plain_depths for target in depends_on[name] if target in plain_depths)
    table.add(f"packages that {top} pulls in, itself included", len(depths), len(plain_depths))
    table.add("  the same packages at the same depths", depths, plain_depths,
              f"{max(plain_depths.values())} deep")
    table.add("  dependencies among them", len(reached["edges"]), plain_edges)

    # Their size, by a formula whose inputs flow in along relationships.
    total = total_id(top)
    server.call("PUT", f"/substrates/{total}", {
        "expression_type": "formula",
        "expression_code": "{'packages': len(sizes), 'kib': sum(sizes), 'largest': max(sizes)}",
        "metadata": {"name": f"installed size of {top} and all it pulls in"},
    })
    lines = (
        json.dumps({
            "rel_type": "AGGREGATION",
            "source_id": total,
            "target_id": package_id(name),
            "constraints": {"parameter": "sizes", "collect": True},
        }) + "\n"
        for name in depths
    )
    server.load("/relationships/batch", "inputs of the total", lines, len(depths), Progress())
    answer = server.call("GET", f"/substrates/{total}/value")["value"]
    plain_sizes = [packages.sizes[name] for name in plain_depths]
    plain = {"packages": len(plain_sizes), "kib": sum(plain_sizes), "largest": max(plain_sizes)}
    table.add("  their installed size in KiB, by a formula", answer, plain, f"{plain['kib']:,}")

    # The formula is live: change an input, and ask again.
    size = packages.sizes[top]
    server.call("PATCH", f"/substrates/{package_id(top)}", {"expression_code": str(size + 100_000)})
    grown = server.call("GET", f"/substrates/{total}/value")["value"]["kib"]
    server.call("PATCH", f"/substrates/{package_id(top)}", {"expression_code": str(size)})
    table.add(f"  the same if {top} grew by 100,000 KiB", grown, plain["kib"] + 100_000)
    back = server.call("GET", f"/substrates/{total}/value")["value"]["kib"]
    table.add("  and when it shrinks again", back, plain["kib"])

    # The packages most depended on.
    begun = time.monotonic()
    ids = list(names)
    paths = [f"/relationships/incoming/{one}?type=DEPENDENCY&limit=1" for one in ids]
    incoming = {names[one]: answer["count"] for one, answer in zip(ids, server.pipelined(paths))}
    seconds = time.monotonic() - begun
    print(f"{len(ids):,} incoming counts asked one by one over one connection: {seconds:.1f} s", file=sys.stderr)
    plain_incoming = Counter({name: 0 for name in names.values()})
    plain_incoming.update(edge.target for edge in packages.edges if edge.rel_type == "DEPENDENCY")
    table.add("how often each package is depended on", incoming, dict(plain_incoming),
              f"{sum(plain_incoming.values()):,} in all")
    for place, (name, count) in enumerate(top_ten(incoming), start=1):
        table.add(f"  number {place}", (name, count), top_ten(plain_incoming)[place - 1], f"{name} {count:,}")

    # The largest packages, by an index over a metadata key.
    server.call("PUT", "/indexes/size")
    found = server.call("POST", "/query/search", {
        "filter": {"metadata.size": {"$gte": LARGE_KIB}}, "sort": "-metadata.size", "limit": 10_000,
    })
    largest = [one["metadata"]["name"] for one in found["substrates"]]
    plain_largest = sorted(
        (name for name, size in packages.sizes.items() if size >= LARGE_KIB), key=lambda name: -packages.sizes[name]
    )
    table.add(f"packages of {LARGE_KIB:,} KiB or more, by size", largest, plain_largest,
              f"{len(largest):,}, first {largest[0]}" if largest else "none")

    # A shortest path. There may be several: equal means equally short, and made of dependencies.
    source, target = options.path
    found = server.call("POST", "/query/path", {
        "source_id": package_id(source), "target_id": package_id(target), "rel_types": ["DEPENDENCY"],
    })
    hops = [names[one] for one in found["nodes"]]
    real = all(after in depends_on[before] for before, after in zip(hops, hops[1:]))
    plain_length = walk(depends_on, source).get(target)
    table.add(f"steps from {source} to {target}", found["length"] if real else "not a path", plain_length)
    table.add("  from end to end", (hops[0], hops[-1], len(hops) - 1), (source, target, plain_length), "yes")

    table.print()
    print("\n" + textwrap.fill("the way: " + " > ".join(hops), 100, subsequent_indent="    ", break_on_hyphens=False))
    return table.equal


def top_ten(counts: Dict[str, int]) -> List[Tuple[str, int]]:
    return heapq.nsmallest(10, counts.items(), key=lambda item: (-item[1], item[0]))


# ---- The program --------------------------------------------------------------------------------


class OwnServer:
    """A server started for this run and stopped after it."""

    def __init__(self, binary: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [binary, "serve", "--in-memory", "--port", str(self.port)], stdout=self.log, stderr=self.log
        )

    def wait_until_ready(self) -> str:
        for _ in range(300):
            if self.process.poll() is not None:
                break
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return f"http://127.0.0.1:{self.port}"
            except OSError:
                time.sleep(0.05)
        self.log.seek(0)
        raise Failure("the server did not start:\n" + self.log.read().decode(errors="replace"))

    def resident_mib(self) -> Optional[int]:
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as lines:
                return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))
        except (OSError, StopIteration):
            return None

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.log.close()


def run(options: argparse.Namespace, own: Optional[OwnServer]) -> bool:
    begun = time.monotonic()
    packages = read_packages(dumpavail(options.dumpavail))
    by_type = Counter(edge.rel_type for edge in packages.edges)
    for name in (options.package, *options.path):
        if name not in packages.stanzas:
            hint = "" if options.dumpavail else "; an empty list is filled by `apt-get update`"
            raise Failure(f"no package {name!r} among the {len(packages.stanzas):,} of the list{hint}")
    print(
        f"read {len(packages.stanzas):,} packages and {len(packages.edges):,} relationships"
        f" in {time.monotonic() - begun:.1f} s:"
    )
    print("  " + ", ".join(f"{count:,} {name}" for name, count in by_type.most_common()))
    print(f"  {packages.unresolved:,} names left out that no package of the list has or provides")

    server = Server(own.wait_until_ready() if own else options.url)
    before = server.call("GET", "/metrics")
    begun = time.monotonic()
    created = server.load(
        "/substrates/batch", "substrates", substrate_lines(packages), len(packages.stanzas), Progress()
    )
    middle = time.monotonic()
    related = server.load(
        "/relationships/batch", "relationships", relationship_lines(packages), len(packages.edges), Progress()
    )
    end = time.monotonic()
    print(
        f"loaded {created:,} substrates in {middle - begun:.2f} s and {related:,} relationships"
        f" in {end - middle:.2f} s: {end - begun:.2f} s"
    )
    after = server.call("GET", "/metrics")
    mib = own.resident_mib() if own else None
    print(
        f"the server held {before['total_substrates']:,} substrates before and holds"
        f" {after['total_substrates']:,}, with {after['total_relationships']:,} relationships now"
        + (f", in {mib:,} MiB of memory" if mib else "")
    )
    print()
    return ask(server, packages, options)


def main() -> int:
    about = (__doc__ or "").split("\n", 1)
    parser = argparse.ArgumentParser(
        description=about[0], epilog=about[1], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    parser.add_argument("--serve", metavar="BINARY", help="start this butterflyfx on a free port for the run")
    parser.add_argument("--dumpavail", metavar="FILE", help="a saved `apt-cache dumpavail`")
    parser.add_argument("--package", default="chromium", help="whose dependencies to follow (default: %(default)s)")
    parser.add_argument("--path", nargs=2, default=["chromium", "libsepol2"], metavar=("FROM", "TO"),
                        help="the ends of the shortest path (default: chromium libsepol2)")
    options = parser.parse_args()
    own: Optional[OwnServer] = None
    try:
        own = OwnServer(options.serve) if options.serve else None
        equal = run(options, own)
    except (Failure, OSError) as failure:
        print(f"debian_packages: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if own:
            own.stop()
    print()
    print("all answers equal the plain walk" if equal else "some answers DIFFER from the plain walk")
    return 0 if equal else 1


if __name__ == "__main__":
    # A closed pipe (`| head`) ends the program quietly.
    try:
        sys.exit(main())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
