#!/usr/bin/env python3
"""Compares how long formulas take: ours, expression libraries in Rust, and what Python people use.

    bench-compare/formulas.py                  a minute, after building
    bench-compare/formulas.py --update-docs    also writes the table in docs/performance.md

The same two formulas everywhere; single invocations with parameters in memory, and the second one over ten million
rows of float64. Everything runs on one thread, one after the other. Packages go into bench-compare/.venv-formulas.

Over rows, time goes into memory, so that all have the same: huge pages where they are large, which numpy asks the system
for by itself and glibc's malloc when it is told to; and results once into memory that is there already, where a library
can, and once into fresh memory.
"""

import argparse
import json
import os
import subprocess
import sys
import timeit

HERE = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(HERE, ".venv-formulas")
PACKAGES = ["numpy", "numba", "numexpr", "polars", "pyarrow"]
PAGE = os.path.join(os.path.dirname(HERE), "docs", "performance.md")
BEGIN, END = "<!-- written by bench-compare/formulas.py: begin -->", "<!-- written by bench-compare/formulas.py: end -->"
ROWS = 10_000_000
ROUNDS = 7
# glibc asks for huge pages, as numpy does for what is larger than 4 MiB. Before glibc 2.35 it knows nothing of it.
MEMORY = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
TERNARY = "where(x > y, (x * 1.08 - y) * 0.5, x / 2)"


def in_venv(script=os.path.abspath(__file__)):
    """Runs a script again inside the environment, made where it is not there."""
    python = os.path.join(VENV, "bin", "python")
    if not os.path.exists(os.path.join(VENV, "installed")):
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        open(os.path.join(VENV, "installed"), "w", encoding="utf-8").close()
    one = {**os.environ, **MEMORY, "IN_VENV": "1", "NUMEXPR_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    os.execve(python, [python, script, *sys.argv[1:]], one)


def median(values):
    return sorted(values)[len(values) // 2]


def single(function, *arguments):
    names = {"f": function, "x": arguments[0], "y": arguments[1]}
    times = timeit.repeat("f(x=x, y=y)", globals=names, number=500_000, repeat=ROUNDS)
    return median(times) / 500_000 * 1e9


def over_rows(work):
    work()
    return median(timeit.repeat(work, number=1, repeat=ROUNDS)) / ROWS * 1e9


def python_rows():
    import numba
    import numexpr
    import numpy
    import polars

    random = numpy.random.default_rng(11)
    x, y = random.random(ROWS) * 900, random.random(ROWS) * 900
    out = numpy.empty(ROWS)

    @numba.vectorize(["float64(float64, float64)"])
    def vectorized(x, y):
        return (x * 1.08 - y) * 0.5 if x > y else x / 2

    frame = polars.DataFrame({"x": x, "y": y})
    of = polars.when(polars.col("x") > polars.col("y")).then((polars.col("x") * 1.08 - polars.col("y")) * 0.5)
    expression = of.otherwise(polars.col("x") / 2)
    expected = vectorized(x, y)
    for found in (
        numpy.where(x > y, (x * 1.08 - y) * 0.5, x / 2),
        numexpr.evaluate(TERNARY, {"x": x, "y": y}),
        frame.select(expression).to_series().to_numpy(),
    ):
        assert (found == expected).all()
    product = lambda x, y: x * y  # noqa: E731
    branch = lambda x, y: (x * 1.08 - y) * 0.5 if x > y else x / 2  # noqa: E731
    keywords = lambda **kw: kw.get("x", 0) * kw.get("y", 0)  # noqa: E731
    version = "%d.%d" % sys.version_info[:2]
    return {
        f"CPython {version}, lambda x, y": [single(product, 6, 7), single(branch, 3.5, 2.25), None],
        f"CPython {version}, lambda **kw": [single(keywords, 6, 7), None, None],
        f"numba {numba.__version__}, vectorize": [
            None, None, over_rows(lambda: vectorized(x, y, out)), over_rows(lambda: vectorized(x, y)),
        ],
        f"polars {polars.__version__}": [None, None, None, over_rows(lambda: frame.select(expression))],
        f"numexpr {numexpr.__version__}": [
            None, None, over_rows(lambda: numexpr.evaluate(TERNARY, {"x": x, "y": y}, out=out)),
            over_rows(lambda: numexpr.evaluate(TERNARY, {"x": x, "y": y})),
        ],
        f"numpy {numpy.__version__}": [
            None, None, None, over_rows(lambda: numpy.where(x > y, (x * 1.08 - y) * 0.5, x / 2)),
        ],
    }


def table(rows):
    def shown(value):
        return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"

    lines = [
        "| ns | `x*y` | `(x*1.08-y)*0.5 if x>y else x/2` | the same over 10 M rows, a row | into fresh memory |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, values in rows.items():
        cells = [*values, None][:4]
        lines.append(f"| {name} | {' | '.join(shown(value) for value in cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update-docs", action="store_true", help="write the table in docs/performance.md")
    options = parser.parse_args()
    if not os.environ.get("IN_VENV"):
        in_venv()
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "bench-compare-formulas"], cwd=HERE, check=True)
    binary = os.path.join(HERE, "target", "release", "bench-compare-formulas")
    told = subprocess.run([binary], check=True, stdout=subprocess.PIPE, env={**os.environ, **MEMORY})
    rows = {**json.loads(told.stdout), **python_rows()}
    text = table(rows)
    print(text)
    if options.update_docs:
        page = open(PAGE, encoding="utf-8").read()
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
