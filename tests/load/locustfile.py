"""A realistic mix of requests to ButterflyFx, for locust.

    locust --locustfile tests/load/locustfile.py --host http://127.0.0.1:8000

Each user has data of its own and knows it, so that every answer is checked: results, values after a change,
counts, lengths of paths. How often each request comes stands in mix.json, which `butterflyfx bench load` reads too.
"""

import itertools
import json
import pathlib
import random
import time

from locust import FastHttpUser, between, tag, task

MIX = json.loads(pathlib.Path(__file__).with_name("mix.json").read_text(encoding="ascii"))
RUN = int(time.time()) % 65_536
USERS = itertools.count()

API = "/api/v1"
OWNER_KEY = "load_owner"
BATCH = 5
LEAVES = 5
# What comes and goes stays between these, so that a long run holds no more than a short one.
POOL_MIN = 20
POOL_MAX = 200


def identity(number):
    return f"0x{number:016X}"


class Wrong(Exception):
    """An answer that is not what it must be."""


def must(condition, what):
    if not condition:
        raise Wrong(what)


class ButterflyFxUser(FastHttpUser):
    """Creates, reads, invokes, relates, queries and deletes."""

    wait_time = between(0.005, 0.05)

    def on_start(self):
        number = next(USERS)
        # Numbers below 2^53, unique in this run and not likely in another.
        self.base = (RUN * 10_000 + number % 10_000) * 10_000_000
        self.owner = f"{RUN}-{number}"
        self.sequence = 1_000
        self.random = random.Random(self.base)
        self.pool = []
        self.price = 1
        self.set_up()

    def set_up(self):
        """What stands during the whole run: a formula with three inputs, a chain of three, a hub with leaves."""
        self.send("PUT", f"/indexes/{OWNER_KEY}", "set up", (200, 201))
        standing = [
            self.substrate(0, "constant", "1"),
            self.substrate(1, "constant", "3"),
            self.substrate(2, "constant", "7"),
            self.substrate(3, "formula", "price * quantity + fee"),
        ]
        standing += [self.substrate(at, "constant", str(at)) for at in range(4, 8 + LEAVES)]
        self.send("POST", "/substrates/batch?results=none&atomic=true", "set up", (200,), standing)
        links = [self.link("LINEAGE", at, at + 1) for at in (4, 5)]
        links += [self.link("CONTAINMENT", 7, at) for at in range(8, 8 + LEAVES)]
        for at, parameter in enumerate(("price", "quantity", "fee")):
            links.append({**self.link("ATTRIBUTE", 3, at), "constraints": {"parameter": parameter}})
        self.send("POST", "/relationships/batch?results=none&atomic=true", "set up", (200,), links)
        while len(self.pool) < 2 * POOL_MIN:
            if not self.new_batch("set up"):
                # Nothing could be checked without it.
                self.environment.runner.quit()
                return

    # ---- Requests and bodies --------------------------------------------------------------------

    def send(self, method, path, name, statuses, body=None, check=None):
        """One request, counted under this name; its answer where it is right, None where it is not."""
        with self.rest_or_plain(method, path, name, body) as response:
            try:
                must(response.status_code in statuses, f"status {response.status_code}: {(response.text or '')[:200]}")
                answer = json.loads(response.text) if response.text else {}
                if check is not None:
                    check(answer)
            except (Wrong, KeyError, IndexError, TypeError, ValueError) as error:
                response.failure(f"{name}: {error}")
                return None
            response.success()
            return answer

    def rest_or_plain(self, method, path, name, body):
        options = {"name": name, "catch_response": True}
        if body is not None:
            options["data"] = json.dumps(body)
            options["headers"] = {"Content-Type": "application/json"}
        return self.client.request(method, API + path, **options)

    def standing(self, at):
        return identity(self.base + at)

    def substrate(self, at, kind, code):
        metadata = {OWNER_KEY: self.owner, "size": at}
        return {"identity": self.standing(at), "expression_type": kind, "expression_code": code, "metadata": metadata}

    def pooled(self, factor):
        code = f"lambda **kw: kw.get('x', 0) * {factor} + kw.get('y', 0)"
        metadata = {OWNER_KEY: self.owner, "name": f"substrate_{factor}", "size": factor % 10}
        return {"expression_type": "lambda", "expression_code": code, "metadata": metadata}

    def link(self, rel_type, source, target):
        return {"rel_type": rel_type, "source_id": self.standing(source), "target_id": self.standing(target)}

    def any_one(self):
        return self.random.choice(self.pool)

    def parameters(self, factor):
        x, y = self.random.randrange(10), self.random.randrange(1_000)
        return {"x": x, "y": y}, factor * x + y

    def next_number(self, count=1):
        first = self.sequence + 1
        self.sequence += count
        return self.base + first

    # ---- Reading --------------------------------------------------------------------------------

    @tag("read")
    @task(MIX["get"])
    def get(self):
        substrate_id, factor = self.any_one()

        def check(answer):
            must(answer["substrate_id"] == substrate_id, "another substrate")
            must(f"* {factor} +" in answer["expression_code"], "another formula")

        self.send("GET", f"/substrates/{substrate_id}", "get", (200,), check=check)

    @tag("read")
    @task(MIX["list"])
    def list_page(self):
        self.send(
            "GET", "/substrates?limit=20", "list", (200,), check=lambda a: must(1 <= len(a["substrates"]) <= 20, "no page")
        )

    @tag("read")
    @task(MIX["search"])
    def search(self):
        query = {"filter": {f"metadata.{OWNER_KEY}": self.owner, "metadata.size": {"$gte": 5}}, "limit": 10}

        def check(answer):
            found = [one["metadata"] for one in answer["substrates"]]
            must(found, "nothing found")
            must(all(one[OWNER_KEY] == self.owner and one["size"] >= 5 for one in found), "found too much")

        self.send("POST", "/query/search", "search", (200,), query, check)

    @tag("read")
    @task(MIX["outgoing"])
    def outgoing(self):
        path = f"/relationships/outgoing/{self.standing(7)}"
        self.send("GET", path, "outgoing", (200,), check=lambda a: must(a["count"] == LEAVES, "another count"))

    @tag("read")
    @task(MIX["incoming"])
    def incoming(self):
        substrate_id, _ = self.any_one()

        def check(answer):
            ends = [one["target_id"] for one in answer["relationships"]]
            must(ends == [substrate_id] * answer["count"], "another target")

        self.send("GET", f"/relationships/incoming/{substrate_id}", "incoming", (200,), check=check)

    @tag("read")
    @task(MIX["traverse"])
    def traverse(self):
        query = {"start_id": self.standing(7), "max_depth": 3}
        wanted = [(self.standing(7), 0)] + [(self.standing(at), 1) for at in range(8, 8 + LEAVES)]

        def check(answer):
            must([(node["substrate_id"], node["depth"]) for node in answer["nodes"]] == wanted, "other nodes")

        self.send("POST", "/query/traverse", "traverse", (200,), query, check)

    @tag("read")
    @task(MIX["path"])
    def path(self):
        query = {"source_id": self.standing(4), "target_id": self.standing(6)}
        wanted = [self.standing(at) for at in (4, 5, 6)]
        self.send("POST", "/query/path", "path", (200,), query, lambda a: must(a["nodes"] == wanted, "another path"))

    # ---- Evaluating -----------------------------------------------------------------------------

    @tag("evaluate")
    @task(MIX["invoke"])
    def invoke(self):
        substrate_id, factor = self.any_one()
        parameters, result = self.parameters(factor)
        self.send(
            "POST", f"/substrates/{substrate_id}/invoke", "invoke", (200,), {"parameters": parameters},
            lambda a: must(a["result"] == result, "another result"),
        )

    @tag("evaluate")
    @task(MIX["batch_invoke"])
    def batch_invoke(self):
        invocations, results = [], []
        for _ in range(BATCH):
            substrate_id, factor = self.any_one()
            parameters, result = self.parameters(factor)
            invocations.append({"substrate_id": substrate_id, "parameters": parameters})
            results.append(result)
        self.send(
            "POST", "/substrates/batch/invoke", "batch_invoke", (200,), {"invocations": invocations},
            lambda a: must([one["result"] for one in a["results"]] == results, "other results"),
        )

    @tag("evaluate")
    @task(MIX["value"])
    def value(self):
        wanted = self.price * 3 + 7
        path = f"/substrates/{self.standing(3)}/value"
        self.send("GET", path, "value", (200,), check=lambda a: must(a["value"] == wanted, "another value"))

    # ---- Changing -------------------------------------------------------------------------------

    @tag("change")
    @task(MIX["patch"])
    def patch(self):
        price = self.random.randrange(1, 1_000_000)
        change = {"expression_code": str(price), "metadata": {"last": price}}
        path = f"/substrates/{self.standing(0)}"
        if self.send("PATCH", path, "patch", (200,), change, lambda a: must(a["metadata"]["last"] == price, "not taken")):
            self.price = price

    @tag("change")
    @task(MIX["create"])
    def create(self):
        if len(self.pool) >= POOL_MAX:
            self.delete()
            return
        factor = self.next_number()
        answer = self.send("POST", "/substrates", "create", (201,), self.pooled(factor))
        if answer:
            self.pool.append((answer["substrate_id"], factor))

    @tag("change")
    @task(MIX["create_batch"])
    def create_batch(self):
        if len(self.pool) >= POOL_MAX:
            self.delete()
        else:
            self.new_batch("create_batch")

    def new_batch(self, name):
        first = self.next_number(BATCH)
        factors = range(first, first + BATCH)
        batch = [{**self.pooled(factor), "identity": identity(factor)} for factor in factors]
        answer = self.send(
            "POST", "/substrates/batch", name, (200,), {"substrates": batch},
            lambda a: must((a["created"], a["failed"]) == (BATCH, 0), "not all created"),
        )
        if answer:
            self.pool.extend((identity(factor), factor) for factor in factors)
        return answer

    @tag("change")
    @task(MIX["create_relationship"])
    def create_relationship(self):
        (source, _), (target, _) = self.any_one(), self.any_one()
        link = {"rel_type": "DEPENDENCY", "source_id": source, "target_id": target}
        self.send(
            "POST", "/relationships?on_conflict=return", "create_relationship", (200, 201), link,
            lambda a: must((a["source_id"], a["target_id"]) == (source, target), "other ends"),
        )

    @tag("change")
    @task(MIX["delete"])
    def delete(self):
        if len(self.pool) <= POOL_MIN:
            self.create()
            return
        substrate_id, _ = self.pool.pop(self.random.randrange(len(self.pool)))
        self.send("DELETE", f"/substrates/{substrate_id}", "delete", (204,))
