#!/usr/bin/env python3
"""A live graph in one page: prices that follow from other prices.

    cargo run --release &
    python3 examples/price_graph.py [--url http://127.0.0.1:8000]

A bicycle's price follows from its parts, its parts' from materials and work, and the price abroad
from an exchange rate. Each of them is a substrate; a relationship with `{"parameter": NAME}` among
its constraints feeds its target's value into the parameter NAME of its source. Change the price of
aluminium, ask again, and everything above it has moved.

Needs Python 3.9 or newer and nothing else. Safe to run again: it puts everything back.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request

# Chosen identities: what will be edited needs one that is not the hash of its formula.
SUBSTRATES = {
    # name: (identity, expression_type, expression_code)
    "aluminium": ("0xB1C0000000000001", "constant", "2.4"),
    "hourly_wage": ("0xB1C0000000000002", "constant", "38"),
    "eur_usd": ("0xB1C0000000000003", "constant", "1.08"),
    "frame": ("0xB1C0000000000010", "formula", "round(aluminium * 9.5 + hourly_wage * 3, 2)"),
    "wheel": ("0xB1C0000000000011", "lambda", "lambda aluminium, spokes=32: round(aluminium * 1.8 + spokes * 0.25, 2)"),
    "bicycle": ("0xB1C0000000000020", "formula", "round(sum(parts) * (1.4 if len(parts) > 2 else 1.5), 2)"),
    "bicycle_usd": ("0xB1C0000000000021", "formula", "f'{price * rate:,.2f} USD'"),
}
# (source, parameter of the source, target); a name used twice becomes a list of two values.
INPUTS = [
    ("frame", "aluminium", "aluminium"),
    ("frame", "hourly_wage", "hourly_wage"),
    ("wheel", "aluminium", "aluminium"),
    ("bicycle", "parts", "frame"),
    ("bicycle", "parts", "wheel"),
    ("bicycle_usd", "price", "bicycle"),
    ("bicycle_usd", "rate", "eur_usd"),
]


def call(method: str, path: str, body: object = None) -> dict:
    request = urllib.request.Request(
        f"{options.url}/api/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def identity(name: str) -> str:
    return SUBSTRATES[name][0]


def value(name: str) -> object:
    return call("GET", f"/substrates/{identity(name)}/value")["value"]


def show_inputs(inputs: dict, indent: str = "    ") -> None:
    names = {identity: name for name, (identity, _, _) in SUBSTRATES.items()}
    for parameter, sources in inputs.items():
        for source in sources:
            print(f"{indent}{parameter} = {source['value']}  from {names[source['substrate_id']]}")
            show_inputs(source["inputs"], indent + "    ")


def main() -> None:
    for name, (identity_, kind, code) in SUBSTRATES.items():
        call("PUT", f"/substrates/{identity_}",
             {"expression_type": kind, "expression_code": code, "metadata": {"name": name}})
    for source, parameter, target in INPUTS:
        call("POST", "/relationships?on_conflict=return", {
            "rel_type": "DEPENDENCY",
            "source_id": identity(source),
            "target_id": identity(target),
            "constraints": {"parameter": parameter},
        })

    print(f"a bicycle costs {value('bicycle')} EUR, abroad {value('bicycle_usd')}. Why:")
    show_inputs(call("GET", f"/substrates/{identity('bicycle_usd')}/value?explain=true")["inputs"])

    call("PATCH", f"/substrates/{identity('aluminium')}", {"expression_code": "3.1"})
    print(f"aluminium rises from 2.4 to 3.1: it costs {value('bicycle')} EUR, abroad {value('bicycle_usd')}")

    answer = call("POST", f"/substrates/{identity('bicycle_usd')}/invoke", {"parameters": {"rate": 1.2}})
    print(f"and what if a euro were 1.20 dollars? {answer['result']}, without changing anything")

    call("PATCH", f"/substrates/{identity('aluminium')}", {"expression_code": "2.4"})


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    arguments.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    options = arguments.parse_args()
    try:
        main()
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.url} answered {error.code}: {error.read().decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"no answer from {options.url}: {error}. Is the server running? (`cargo run --release`)")
