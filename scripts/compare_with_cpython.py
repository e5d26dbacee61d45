#!/usr/bin/env python3
"""Makes formulas at random, and compares what the server makes of them with what this Python does.

    scripts/compare_with_cpython.py --url http://127.0.0.1:8000 [--seed N] [--formulas N]

The formulas are well-formed and of mixed types, so about half of them raise: the exception's type must be
equal then, as must every result, floats bit for bit. Not compared: exception messages, which differ between
versions of Python, and what meets a limit of the server, which Python has not.

The reference is CPython 3.13. Where an older Python answers otherwise, or the language says that it differs,
the difference is in `is_known`. Exit code 1 for any other.
"""

from __future__ import annotations

import argparse
import builtins
import collections
import http.client
import json
import math
import random
import sys
import warnings
from typing import NamedTuple
from urllib.parse import urlsplit

PARAMETERS = {
    "i": 5, "j": -3, "f": 2.5, "g": -0.0, "s": "Straße x", "t": "abc", "xs": [3, 1, 2], "ys": [1.5, -2.0, 3.25],
    "zs": ["b", "a", "c"], "d": {"a": 1, "b": [2, 3], "c": "x"}, "big": 12345678901234567890123, "n": None,
}
NAMES = (
    "abs all any bool dict divmod enumerate filter float int len list map max min pow range reversed round "
    "sorted str sum tuple zip ord chr bin hex oct"
).split()
GLOBALS = {"math": math, "__builtins__": {name: getattr(builtins, name) for name in NAMES}}

INTEGERS = ["0", "1", "-1", "2", "3", "7", "-7", "10", "255", "2**63", "-2**63", "2**64+1", "10**20", "True", "False"]
FLOATS = ["0.0", "-0.0", "1.5", "-2.5", "1e16", "1e300", "1e-300", "0.1", "3.0", "float('inf')", "float('nan')",
          "1e308", "123456.789", "5e-324"]
TEXTS = ["''", "'a'", "'abc'", "'Hello World'", "'  x '", "'ß'", "'ǅx'", "'1,2,3'", "'12'", "'-3.5'", "'éa\u0301'",
         "'aXbXc'", "'0x1f'", "'１２'", "'İ'", "'ΑΣ'"]
SPECS = [":d", ":.2f", ":e", ":g", ":>10", ":<8", ":^9", ":+", ":010", ":x", ":#x", ":b", ":,", ":_", ":.3", ":%", ":s",
         "!r", "!s", ":10.4g", ":.0f", ":#.3g", ":n", ":*^12", ":=+8", ":c", ":o", ":X", ":.10s", ":-08.2f", ":#b", ":_x",
         ":z.1f"]
INDEXES = ["0", "-1", "1", "::-1", "1:", "-2:", ":2", "::2", "i", "5", "1:-1", "::-2"]


class Maker:
    """Formulas by type, down to a depth."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self, *choices: str) -> str:
        return self.random.choice(choices)

    def any(self, k: int) -> str:
        make = self.random.choice([self.number, self.number, self.text, self.list, self.bool, self.dict])
        return make(k)

    def number(self, k: int) -> str:
        one, number = self.one, self.number
        if k <= 0:
            return one(self.random.choice(INTEGERS), self.random.choice(FLOATS), "i", "j", "f", "g", "big",
                       str(self.random.randint(-50, 50)))
        k -= 1
        return self.random.choice([
            lambda: f"({number(k)} {one('+', '-', '*', '/', '//', '%')} {number(k)})",
            lambda: f"({number(k)} {one('+', '-', '*', '/', '//', '%')} {number(k)})",
            lambda: f"({number(k)} {one('+', '-', '*', '/', '//', '%')} {number(k)})",
            lambda: f"({number(k)} ** {one('2', '3', '-1', '0.5', '0', 'i', number(0))})",
            lambda: f"({one('-', '+', '~')}{number(k)})",
            lambda: f"({number(k)} {one('&', '|', '^', '<<', '>>')} {one(number(k), '3', '1')})",
            lambda: f"{one('abs', 'int', 'float', 'round', 'bool')}({number(k)})",
            lambda: f"round({number(k)}, {one('1', '2', '-1', '0', '20', '-5')})",
            lambda: f"{one('sum', 'max', 'min', 'len')}({self.list(k)})",
            lambda: f"math.{one('floor', 'ceil', 'trunc', 'sqrt', 'fabs', 'isqrt', 'factorial', 'log', 'log10', 'exp', 'sin', 'cbrt', 'gamma', 'lgamma', 'erf')}({number(k)})",
            lambda: f"math.{one('gcd', 'lcm', 'hypot', 'copysign', 'fmod', 'remainder', 'comb', 'perm', 'pow', 'atan2')}({number(k)}, {number(k)})",
            lambda: f"({number(k)} if {self.bool(k)} else {number(k)})",
            lambda: f"pow({number(k)}, {number(0)}{one('', ', 7', ', -3')})",
            lambda: f"{one('int', 'float')}({self.text(k)})",
            lambda: f"{self.text(k)}.{one('find', 'count', 'index', 'rfind')}({self.text(k)})",
            lambda: f"divmod({number(k)}, {number(k)})[{one('0', '1')}]",
        ])()

    def bool(self, k: int) -> str:
        one = self.one
        if k <= 0:
            return one("True", "False", "i", "s", "xs", "n", "''")
        k -= 1
        return self.random.choice([
            lambda: f"({self.any(k)} {one('<', '<=', '==', '!=', '>', '>=')} {self.any(k)})",
            lambda: f"({self.number(k)} < {self.number(k)} <= {self.number(k)})",
            lambda: f"({one(self.text(k), self.number(k))} {one('in', 'not in')} {one(self.list(k), self.text(k), self.dict(k))})",
            lambda: f"(not {self.any(k)})",
            lambda: f"({self.bool(k)} {one('and', 'or')} {self.bool(k)})",
            lambda: f"{one('any', 'all')}({self.list(k)})",
        ])()

    def text(self, k: int) -> str:
        one, text = self.one, self.text
        if k <= 0:
            return one(self.random.choice(TEXTS), "s", "t")
        k -= 1
        return self.random.choice([
            lambda: f"({text(k)} + {text(k)})",
            lambda: f"({text(k)} * {one('2', '0', '-1', 'i', self.number(0))})",
            lambda: f"{text(k)}.{one('upper', 'lower', 'title', 'capitalize', 'strip', 'lstrip', 'rstrip')}()",
            lambda: f"{text(k)}.replace({text(0)}, {text(0)}{one('', ', 1', ', -1')})",
            lambda: f"{text(k)}.{one('zfill', 'ljust', 'rjust', 'center')}({one('3', '12', '0')})",
            lambda: f"{text(k)}[{self.index()}]",
            lambda: f"str({self.any(k)})",
            # Older Pythons take no quote of the same kind and no backslash inside the braces.
            lambda: f'f"{{{one(self.number(0), "i", "f", "s", "t", "big")}{self.random.choice(SPECS)}}}"',
            lambda: f"{text(0)}.join({one(self.list(k), 'zs')})",
            lambda: f"{one('bin', 'hex', 'oct', 'chr')}({self.number(k)})",
            lambda: f"{text(k)}.{one('removeprefix', 'removesuffix')}({text(0)})",
        ])()

    def index(self) -> str:
        return self.one(*INDEXES, self.number(0))

    def list(self, k: int) -> str:
        one, lst = self.one, self.list
        if k <= 0:
            return one("xs", "ys", "zs", "[]", "[1, 2.5, True]", "(1, 2)", "['a', 1]", "[[1], [0, 2]]")
        k -= 1
        return self.random.choice([
            lambda: f"[{self.any(k)}, {self.any(k)}]",
            lambda: f"({lst(k)} + {lst(k)})",
            lambda: f"({lst(k)} * {one('2', '0', self.number(0))})",
            lambda: f"{one('sorted', 'list', 'tuple')}({one(lst(k), self.text(k), self.dict(k))})",
            lambda: f"sorted({lst(k)}, key=lambda v: {one('-v', 'str(v)', 'v')}, reverse={one('True', 'False')})",
            lambda: f"[v {one('', '* 2', '+ 1')} for v in {lst(k)} {one('', 'if v', 'if v != 1')}]",
            lambda: f"list(range({self.number(0)}, {self.number(0)}{one('', ', 2', ', -3')}))[:5]",
            lambda: f"{self.text(k)}.{one('split', 'rsplit')}({one('', self.text(0), self.text(0) + ', 1', 'None, 1')})",
            lambda: f"list({one('map(str, ', 'enumerate(', 'reversed(', 'zip(xs, ', 'filter(None, ')}{lst(k)}))",
            lambda: f"list({self.dict(k)}.{one('keys', 'values', 'items')}())",
            lambda: f"{lst(k)}[{self.index()}]",
            lambda: f"[*{lst(k)}, {self.any(k)}]",
            lambda: f"{self.text(k)}.partition({self.text(0)})",
            lambda: f"[(a, b) for a in {lst(k)} for b in {lst(0)} if a != b][:6]",
        ])()

    def dict(self, k: int) -> str:
        one = self.one
        if k <= 0:
            return one("d", "{}", "{'k': 1}")
        k -= 1
        return self.random.choice([
            lambda: f"{{{self.text(0)}: {self.any(k)}, {one(self.text(0), self.number(0))}: {self.any(k)}}}",
            lambda: f"({self.dict(k)} | {self.dict(k)})",
            lambda: f"{{str(v): {self.any(k)} for v in {self.list(k)}}}",
            lambda: f"dict({one('zip(zs, xs)', 'd', 'b=1, **d', self.list(k))})",
        ])()


class Outcome(NamedTuple):
    """A result, or the name of an exception with its message."""

    result: object
    exception: str = ""
    message: str = ""

    def equals(self, other: "Outcome") -> bool:
        return self.exception == other.exception and same(self.result, other.result)


def same(one: object, other: object) -> bool:
    """Equal in type too; floats by their shortest text, which tells them all apart."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return repr(one) == repr(other)


def in_python(code: str) -> Outcome:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = eval(code, dict(GLOBALS))(**json.loads(json.dumps(PARAMETERS)))
        return Outcome(json.loads(json.dumps(result, allow_nan=False)))
    except Exception as error:
        return Outcome(None, type(error).__name__, str(error))


def is_known(code: str, python: Outcome, server: Outcome) -> bool:
    """Differences that are stated in docs/formula-language.md, or are this Python's age."""
    return (
        # A complex number is refused where it arises.
        "is complex" in server.message
        # The compensated sum of floats came with 3.12.
        or (sys.version_info < (3, 12) and "sum(" in code and not server.exception and not python.exception)
        # So did hashable slices: a dict then says that it has no such key.
        or (sys.version_info < (3, 12) and python.message == "unhashable type: 'slice'")
        # 3.13 says of huge code points that they are out of range.
        or (sys.version_info < (3, 13) and python.exception == "OverflowError" and "chr()" in server.message)
        # `z` in format specs came with 3.11.
        or (sys.version_info < (3, 11) and ":z" in code)
    )


class Server:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=60)

    def post(self, path: str, body: object) -> list:
        self.connection.request("POST", f"/api/v1{path}", json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}: {text[:300]!r}")
        return json.loads(text)["results"]


def main() -> int:
    about = (__doc__ or "").split("\n", 1)
    parser = argparse.ArgumentParser(
        description=about[0], epilog=about[1], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--formulas", type=int, default=5_000)
    options = parser.parse_args()
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    maker = Maker(options.seed)
    server = Server(options.url)
    counts: collections.Counter = collections.Counter()
    head = f"lambda {', '.join(PARAMETERS)}: "
    left = options.formulas
    while left > 0:
        codes = [head + maker.any(maker.random.randint(1, 4)) for _ in range(min(left, 200))]
        codes = [code for code in codes if len(code) < 2_000]
        left -= 200
        made = server.post("/substrates/batch?on_conflict=return",
                           [{"expression_type": "lambda", "expression_code": code} for code in codes])
        known = [(code, one["substrate_id"]) for code, one in zip(codes, made) if "substrate_id" in one]
        for code, one in zip(codes, made):
            if "substrate_id" not in one:
                counts["refused"] += 1
                print(f"REFUSED {code[len(head):]}\n    {one['detail']}")
        answers = server.post("/substrates/batch/invoke", {
            "invocations": [{"substrate_id": identity, "parameters": PARAMETERS} for _, identity in known]})
        for (code, _), answer in zip(known, answers):
            if answer.get("code") in ("limit_exceeded", "result_not_json"):
                counts[answer["code"]] += 1
                continue
            theirs = in_python(code)
            if "result" in answer:
                ours = Outcome(answer["result"])
            else:
                ours = Outcome(None, answer.get("exception", answer["code"]), answer["detail"])
            if ours.equals(theirs):
                counts["exceptions equal" if ours.exception else "results equal"] += 1
            elif is_known(code, theirs, ours):
                counts["known differences"] += 1
            else:
                counts["different"] += 1
                print(f"DIFFERENT {code[len(head):]}\n    Python {theirs}\n    server {ours}")
    print(", ".join(f"{count} {what}" for what, count in counts.most_common()))
    return 1 if counts["different"] or counts["refused"] else 0


if __name__ == "__main__":
    sys.exit(main())
