#!/usr/bin/env python3
"""Runs the commands that the documents print, and compares what they answer.

    scripts/check_docs.py --server target/release/butterflyfx [--update] [PAGE ...]

A page is a Markdown file; without names, README.md and all below docs/. In each of its ```console
blocks a line that begins with `$ ` is a command (it goes on after a backslash, a pipe or inside quotes), and what
stands below it is what it prints. Each page gets a fresh server, and its commands run in order in one
directory. Addresses of 127.0.0.1:8000 lead to that server; `butterflyfx` is the binary that was
given, with BUTTERFLYFX_PORT set to that server's port.

What is printed must be equal, with two freedoms. `...` in a document stands for any text within a
line, and alone on a line for any lines: times, ETags, and what is long. In JSON it stands for a number
or a part of a string, `{...}` for any object and `[...]` for any array. And JSON may be broken over
lines for reading: blanks outside its strings do not count.

--update writes what the commands print into the pages, JSON broken over lines, and what is never the
same twice as `...`. Read the difference before you commit it.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from typing import List, NamedTuple, Optional, Tuple

TOP = pathlib.Path(__file__).resolve().parent.parent
PRINTED_ADDRESS = "127.0.0.1:8000"
WIDTH = 110


class Command(NamedTuple):
    line: int
    text: str
    expected: List[str]


# ---- Reading pages ------------------------------------------------------------------------------


def blocks(lines: List[str]) -> List[Tuple[int, int]]:
    """The console blocks: the first line in and the first line after, counted from 0."""
    found = []
    begin: Optional[int] = None
    for at, line in enumerate(lines):
        if begin is None and line.strip() == "```console":
            begin = at + 1
        elif begin is not None and line.strip() == "```":
            found.append((begin, at))
            begin = None
    return found


def goes_on(text: List[str]) -> bool:
    return text[-1].endswith(("\\", "|")) or "\n".join(text).count("'") % 2 == 1


def commands(lines: List[str], begin: int, end: int) -> List[Command]:
    found: List[Command] = []
    at = begin
    while at < end:
        if not lines[at].startswith("$ "):
            raise SystemExit(f"line {at + 1}: a console block begins with `$ `")
        first = at
        text = [lines[at][2:]]
        while goes_on(text) and at + 1 < end:
            at += 1
            text.append(lines[at])
        at += 1
        expected = []
        while at < end and not lines[at].startswith("$ "):
            expected.append(lines[at])
            at += 1
        found.append(Command(first + 1, "\n".join(text), expected))
    return found


# ---- Coverage -----------------------------------------------------------------------------------


def asked(command: str) -> Tuple[str, str]:
    """The method and path that a curl command asks for."""
    path = re.search(re.escape(PRINTED_ADDRESS) + r"(/[^\s'\"?]*)", command)
    named = re.search(r"-X (\w+)", command)
    with_body = re.search(r"--(json|data)", command)
    method = named.group(1) if named else "POST" if with_body else "GET"
    return method, path.group(1) if path else ""


def endpoints_without_example(pages: List[pathlib.Path]) -> List[str]:
    """Endpoints of the OpenAPI document that no page shows a command for."""
    shown = set()
    for page in pages:
        lines = page.read_text(encoding="utf-8").split("\n")
        for begin, end in blocks(lines):
            shown.update(asked(command.text) for command in commands(lines, begin, end))
    document = json.loads((TOP / "openapi/butterflyfx-v1.json").read_text(encoding="utf-8"))
    missing = []
    for path, operations in document["paths"].items():
        # A literal part is nearer than a parameter: `/substrates/batch` is no `/substrates/{id}`.
        literal = {part for other in document["paths"] for part in other.split("/")}
        for method in operations:
            found = any(
                method.upper() == asked_method and fits(path, asked_path, literal) for asked_method, asked_path in shown
            )
            if not found and method in ("get", "put", "post", "patch", "delete"):
                missing.append(f"{method.upper()} {path}")
    return missing


def fits(template: str, path: str, literal: set) -> bool:
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        one == other or (one.startswith("{") and other not in literal) for one, other in zip(parts, given)
    )


# ---- Comparing ----------------------------------------------------------------------------------

STRING_OR_BLANKS = re.compile(r'"(?:[^"\\]|\\.)*"|\s+')


def is_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def without_blanks(text: str) -> str:
    """JSON without the blanks outside its strings."""
    return STRING_OR_BLANKS.sub(lambda match: match.group() if match.group()[0] == '"' else "", text)


def line_pattern(expected: str) -> str:
    return "[^\n]*?".join(re.escape(part) for part in expected.split("..."))


def json_pattern(expected: str) -> str:
    """`...` stands for a number or a part of a string; `{...}` and `[...]` for any object or array."""
    parts = re.split(r"(\{\.\.\.\}|\[\.\.\.\]|\.\.\.)", expected)
    stands_for = {"...": '[^"\n]*?', "{...}": r"\{[^\n]*?\}", "[...]": r"\[[^\n]*?\]"}
    return "".join(stands_for.get(part) or re.escape(part) for part in parts)


def matches(expected: List[str], actual: str) -> bool:
    wanted = "\n".join(expected).rstrip()
    actual = actual.replace("\r", "").rstrip()
    if is_json(wanted) and is_json(actual):
        # One JSON text a line, or one over many lines: both become one text without blanks.
        return re.fullmatch(json_pattern(without_blanks(wanted)), without_blanks(actual)) is not None
    regex = "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "..." else line_pattern(line) + "\n" for line in wanted.split("\n")
    )
    return re.fullmatch(regex, actual + "\n") is not None


# ---- Updating -----------------------------------------------------------------------------------

VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"), "..."),
    (re.compile(r'("invocation_time_ms": )[-+.e\d]+'), r"\1..."),
    (re.compile(r'("uptime_seconds": )[-+.e\d]+'), r"\1..."),
    (re.compile(r'("request_id": )"[^"]*"'), r'\1"..."'),
    (re.compile(r'("(?:next_)?cursor": )"[^"]*"'), r'\1"..."'),
    (re.compile(r"(?i)^(etag|x-request-id|date|link): .*$", re.M), r"\1: ..."),
]


class Number(float):
    """A number that is printed as it came."""

    def __new__(cls, text: str) -> "Number":
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __repr__(self) -> str:
        return self.text


def layout(value: object, indent: int) -> str:
    """JSON on one line where it fits, else one member a line."""
    if isinstance(value, dict):
        inner = [f"{json.dumps(key, ensure_ascii=False)}: {{}}" for key in value]
        flat = "{" + ", ".join(one.replace("{}", layout(member, 0), 1) for one, member in zip(inner, value.values())) + "}"
        if len(flat) + indent <= WIDTH and "\n" not in flat:
            return flat
        members = [
            " " * (indent + 2) + one.replace("{}", layout(member, indent + 2), 1)
            for one, member in zip(inner, value.values())
        ]
        return "{\n" + ",\n".join(members) + "\n" + " " * indent + "}"
    if isinstance(value, list):
        flat = "[" + ", ".join(layout(member, 0) for member in value) + "]"
        if len(flat) + indent <= WIDTH and "\n" not in flat:
            return flat
        members = [" " * (indent + 2) + layout(member, indent + 2) for member in value]
        return "[\n" + ",\n".join(members) + "\n" + " " * indent + "]"
    if isinstance(value, Number):
        return value.text
    return json.dumps(value, ensure_ascii=False)


def presentable(actual: str, old: List[str]) -> List[str]:
    """What a page shows of an answer; a page that shortened it keeps its own text where that fits."""
    if matches(old, actual):
        return old
    text = actual.replace("\r", "").rstrip()
    if is_json(text):
        lines = []
        try:
            for line in text.split("\n"):
                lines.append(layout(json.loads(line, parse_float=Number), 0))
            text = "\n".join(lines)
        except ValueError:
            pass
    for regex, replacement in VARYING:
        text = regex.sub(replacement, text)
    return text.split("\n") if text else []


# ---- Running ------------------------------------------------------------------------------------


class Server:
    """A fresh server for one page."""

    def __init__(self, binary: pathlib.Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        self.directory = tempfile.TemporaryDirectory()
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            # The clock is a backstop: on a busy machine it must not come before the steps that a page shows.
            [str(binary), "serve", "--port", self.address.rsplit(":", 1)[1], "--wall-clock-max", "10s"],
            stdout=self.log, stderr=self.log, cwd=self.directory.name,
        )
        self.environment = dict(
            os.environ,
            PATH=f"{binary.parent}{os.pathsep}{os.environ['PATH']}",
            BUTTERFLYFX_PORT=self.address.rsplit(":", 1)[1],
        )
        for _ in range(400):
            try:
                urllib.request.urlopen(f"http://{self.address}/readyz", timeout=1).close()
                return
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.025)
        self.log.seek(0)
        output = self.log.read().decode(errors="replace")
        self.stop()
        raise SystemExit(f"the server did not start:\n{output}")

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command.replace(PRINTED_ADDRESS, self.address)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=self.directory.name, env=self.environment, timeout=60,
        )
        return done.stdout.decode(errors="replace").replace(self.address, PRINTED_ADDRESS)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.log.close()
        self.directory.cleanup()


def check(page: pathlib.Path, binary: pathlib.Path, update: bool) -> Tuple[int, int]:
    """Runs one page; answers the numbers of commands and of differences."""
    lines = page.read_text(encoding="utf-8").split("\n")
    found = blocks(lines)
    if not found:
        return 0, 0
    name = page.relative_to(TOP) if page.is_relative_to(TOP) else page
    total = different = 0
    replaced: List[Tuple[int, int, List[str]]] = []
    server = Server(binary)
    try:
        for begin, end in found:
            block: List[str] = []
            for command in commands(lines, begin, end):
                actual = server.run(command.text)
                total += 1
                block += ("$ " + command.text).split("\n") + presentable(actual, command.expected)
                if not update and not matches(command.expected, actual):
                    different += 1
                    report(f"{name}:{command.line}", command, presentable(actual, command.expected))
            replaced.append((begin, end, block))
    finally:
        server.stop()
    if update:
        for begin, end, block in reversed(replaced):
            lines[begin:end] = block
        page.write_text("\n".join(lines), encoding="utf-8")
    return total, different


def report(place: str, command: Command, actual: List[str]) -> None:
    print(f"\n{place}: prints something else\n$ {command.text}")
    for line in difflib.unified_diff(command.expected, actual, "document", "server", lineterm=""):
        print(line)


def main() -> int:
    about = (__doc__ or "").split("\n", 1)
    parser = argparse.ArgumentParser(
        description=about[0], epilog=about[1], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", type=pathlib.Path, default=TOP / "target/release/butterflyfx")
    parser.add_argument("--update", action="store_true", help="write what the server answers into the pages")
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    pages = [page.resolve() for page in options.pages]
    total = different = 0
    if not pages:
        pages = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
        for endpoint in endpoints_without_example(pages):
            print(f"no page shows a command for {endpoint}")
            different += 1
    for page in pages:
        ran, differed = check(page, options.server.resolve(), options.update)
        total += ran
        different += differed
        if ran:
            print(f"{page.name}: {ran} commands, {differed} different", flush=True)
    if options.update:
        print(f"{total} commands run, the pages written")
    else:
        print(f"{total} commands run, {different} differences or gaps")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
