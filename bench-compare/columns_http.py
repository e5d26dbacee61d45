#!/usr/bin/env python3
"""Moves eight million rows through `invoke/batch` as an Arrow stream, beside bare hyper that only reads them.

    cargo build --release --locked && cargo build --release --locked --example bare_hyper
    bench-compare/columns_http.py              in turns, seven rounds; some seconds

The client is curl. Bytes are those of both directions: bare hyper reads as many and answers next to none. The results are
compared with numpy's.
"""

import io
import json
import os
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import formulas  # noqa: E402

BUILT = os.path.join(os.path.dirname(HERE), "target", "release")
ROWS = 8_000_000
ROUNDS = 7
OURS, BARE = 8124, 8125
FORMULA = "lambda x, y: (x*1.08-y)*0.5 if x>y else x/2"
ARROW = "application/vnd.apache.arrow.stream"


def curl(url, path, out):
    """Seconds, and bytes both ways."""
    told = subprocess.run(
        ["curl", "-sf", "-o", out, "-X", "POST", "-T", path, "-H", "Expect:", "-H", f"Content-Type: {ARROW}",
         "-w", "%{time_total} %{size_upload} %{size_download}", url],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout.split()
    return float(told[0]), int(told[1]) + int(told[2])


def wait_for(port):
    for _ in range(100):
        try:
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/livez", data=b"{}"), timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


def main():
    if not os.environ.get("IN_VENV"):
        formulas.in_venv(os.path.abspath(__file__))
    import numpy
    import pyarrow

    random = numpy.random.default_rng(11)
    x, y = random.random(ROWS) * 900, random.random(ROWS) * 900
    table = pyarrow.table({"x": x, "y": y})
    path = os.path.join(HERE, "target", "rows.arrow")
    with open(path, "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=65_536)
    programs = [
        subprocess.Popen([os.path.join(BUILT, "butterflyfx"), "serve", "--in-memory", "--port", str(OURS), "--log-level", "error"],
                         stdout=subprocess.DEVNULL),
        subprocess.Popen([os.path.join(BUILT, "examples", "bare_hyper"), str(BARE)], stdout=subprocess.DEVNULL),
    ]
    try:
        wait_for(OURS), wait_for(BARE)
        base = f"http://127.0.0.1:{OURS}/api/v1/substrates"
        body = json.dumps({"expression_type": "lambda", "expression_code": FORMULA}).encode()
        made = json.load(urllib.request.urlopen(urllib.request.Request(base, data=body, headers={"Content-Type": "application/json"})))
        url = f"{base}/{made['substrate_id']}/invoke/batch?errors=null"
        out, ratios, rates, bares = os.path.join(HERE, "target", "results.arrow"), [], [], []
        for _ in range(ROUNDS):
            seconds, moved = curl(url, path, out)
            bare_seconds, bare_moved = curl(f"http://127.0.0.1:{BARE}/", path, os.devnull)
            rates.append(ROWS / seconds / 1e6)
            bares.append(bare_moved / bare_seconds / 1e6)
            ratios.append(moved / seconds / 1e6 / bares[-1])
        results = pyarrow.ipc.open_stream(io.BytesIO(open(out, "rb").read())).read_all()["result"].to_numpy()
        assert (results == numpy.where(x > y, (x * 1.08 - y) * 0.5, x / 2)).all()
        peak = next(line.split()[1] for line in open(f"/proc/{programs[0].pid}/status") if line.startswith("VmHWM"))
    finally:
        for program in programs:
            program.terminate()
    middle = formulas.median
    print(f"ours {middle(rates):.1f} M rows/s ({min(rates):.1f} to {max(rates):.1f}), at most {int(peak) / 1e3:.0f} MB resident")
    print(f"bytes a second, ours / bare hyper: {middle(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); bare {middle(bares):.0f} MB/s")


if __name__ == "__main__":
    main()
