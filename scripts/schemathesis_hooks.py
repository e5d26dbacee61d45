"""Gives schemathesis something to find: a small graph, its identities, and texts that are formulas.

Without this nearly every generated request ends at "no such substrate" or "not a formula". The schema
stays what it is; only a `format` is added, in memory, where identities and formulas stand, and strings of
that format are drawn from here when a request is meant to fit the schema.

BUTTERFLYFX_URL names the server. Used by scripts/test through SCHEMATHESIS_HOOKS.
"""

import json
import os
import urllib.request

import schemathesis
from hypothesis import strategies

URL = os.environ["BUTTERFLYFX_URL"]
IDENTITY_PATTERN = "^(0[xX])?[0-9A-Fa-f]{1,16}$"

FORMULAS = [
    "lambda x, y=2: x ** y",
    "lambda **kw: kw.get('x', 0) * kw.get('y', 0)",
    "lambda xs: sorted(xs, key=lambda x: (-x, str(x)))[:3]",
    "lambda n=3: {i: [j for j in range(i) if j % 2] for i in range(n)}",
    "lambda: 1 / 0",
    "lambda: [0] * 10 ** 9",
    "lambda x=float('nan'): x",
    "price * qty",
    "f'{price:>10.2f}'",
    "sum(parts)",
    "len(text) + (a if b else c)",
    "42",
    "[1, 2.5, \"a\", null, true]",
    "{\"k\": {\"n\": 12345678901234567890}}",
    "x +",
    "__import__('os')",
]


def post(path: str, body: object) -> dict:
    request = urllib.request.Request(
        f"{URL}/api/v1{path}?on_conflict=return",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def plant() -> "list[str]":
    """Makes the graph; answers identities of its substrates and relationships."""
    kinds = [("constant", "2.5"), ("constant", "[1, 2, 3]"), ("formula", "price * qty"), ("formula", "sum(parts)"),
             ("lambda", "lambda x=1, y=2: x * y"), ("lambda", "lambda a=1: a + 1"), ("lambda", "lambda a=1: a + 2")]
    made = post("/substrates/batch", [
        {"identity": hex(number), "expression_type": kind, "expression_code": code,
         "metadata": {"name": f"n{number}", "size": number, "category": "math"}}
        for number, (kind, code) in enumerate(kinds, start=1)
    ])
    ends = [(3, 1, "price"), (3, 1, "qty"), (4, 1, "parts"), (4, 3, "parts"), (6, 7, "a"), (7, 6, "a"), (5, 2, None)]
    related = post("/relationships/batch", [
        {"rel_type": rel_type, "source_id": hex(source), "target_id": hex(target), "bidirectional": source == 5,
         "constraints": {"parameter": parameter} if parameter else {}}
        for (source, target, parameter), rel_type in zip(
            ends, ["DEPENDENCY", "ATTRIBUTE", "AGGREGATION", "DEPENDENCY", "CYCLE", "CYCLE", "SIBLING"])
    ])
    return [one["substrate_id"] for one in made["results"]] + [one["relationship_id"] for one in related["results"]]


schemathesis.openapi.format("planted-identity", strategies.sampled_from(plant() + ["0x1", "2", "0X3", "deadbeef"]))
schemathesis.openapi.format("formula", strategies.sampled_from(FORMULAS))


@schemathesis.hook
def before_load_schema(context, raw_schema: dict) -> None:
    mark(raw_schema)


def mark(node: object) -> None:
    if isinstance(node, list):
        for one in node:
            mark(one)
    elif isinstance(node, dict):
        if node.get("pattern") == IDENTITY_PATTERN:
            node.setdefault("format", "planted-identity")
        properties = node.get("properties")
        if isinstance(properties, dict) and "substrate_id" not in properties:
            code = properties.get("expression_code")
            if isinstance(code, dict):
                code.setdefault("format", "formula")
        for one in node.values():
            mark(one)
