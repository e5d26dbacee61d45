"""The standard graph as the loaders read it, and what the queries must find in it."""

import array
import json
import os
import struct
import time

FIRST_TIME_US = 1_800_000_000_000_000  # of the first substrate; each record is one microsecond later
RECORD = struct.Struct("<IIQ")


def code(i):
    return f"lambda **kw: kw.get('x', 0) * {i} + kw.get('y', 0)"


def name(i):
    return f"substrate_{i}"


def description(i):
    return f"multiplies x by {i}"


def signed(identity):
    """The same 64 bits, for systems whose integers are signed."""
    return identity - (1 << 64) if identity >> 63 else identity


class Graph:
    """The files that compare-graph wrote; relationships are streamed, they are too many to hold."""

    def __init__(self, directory):
        self.directory = directory
        self.ids = self._numbers("substrates", "Q")
        self.queries = self._numbers("queries", "I")
        self.relationships_count = os.path.getsize(os.path.join(directory, "relationships")) // RECORD.size

    def _numbers(self, file, kind):
        numbers = array.array(kind)
        path = os.path.join(self.directory, file)
        with open(path, "rb") as data:
            numbers.fromfile(data, os.path.getsize(path) // numbers.itemsize)
        return numbers

    def substrates(self, size):
        """Batches of (number, identity)."""
        for first in range(0, len(self.ids), size):
            yield list(enumerate(self.ids[first : first + size], first))

    def relationships(self, size):
        """Batches of (number of the source, of the target, identity), and the time of the first."""
        now = FIRST_TIME_US + len(self.ids)
        with open(os.path.join(self.directory, "relationships"), "rb") as data:
            while batch := data.read(RECORD.size * size):
                yield now, RECORD.iter_unpack(batch)
                now += len(batch) // RECORD.size

    def truth(self, exact):
        """What all queries find in all: count and exclusive ors; and the answers of the first few."""
        times = {}
        for asked in self.queries:
            times[asked] = times.get(asked, 0) + 1
        answers = {asked: set() for asked in self.queries[:exact]}
        count = identities = targets = 0
        for _, batch in self.relationships(100_000):
            for source, target, identity in batch:
                if source in times:
                    count += times[source]
                    if times[source] & 1:
                        identities ^= identity
                        targets ^= self.ids[target]
                    if source in answers:
                        answers[source].add((identity, self.ids[target]))
        return [count, identities, targets], answers


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def resident_at_rest(pid):
    """VmRSS once it has come to rest, ten seconds at most."""
    last = resident(pid)
    for _ in range(10):
        time.sleep(1)
        now = resident(pid)
        if abs(now - last) < 1 << 20:
            return now
        last = now
    return last


def metadata_json(i):
    return json.dumps({"name": name(i), "description": description(i)}, separators=(",", ":"))
