#!/usr/bin/env python3
"""Makes the fuzzers' seed corpus from the cases that CPython answered.

    scripts/fuzz_seeds.py CASES.json CORPUS_DIRECTORY

One file a case: for `formula` the text, a zero byte and the parameters; for `json` the parameters
and the result. Names are hashes, so the same cases give the same files.
"""

import hashlib
import json
import pathlib
import sys


def write(directory: pathlib.Path, text: str) -> None:
    data = text.encode("utf-8", errors="surrogatepass")
    (directory / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main() -> None:
    cases_path, corpus = sys.argv[1:]
    directories = {name: pathlib.Path(corpus, name) for name in ("formula", "json")}
    for directory in directories.values():
        directory.mkdir(parents=True, exist_ok=True)
    cases = json.loads(pathlib.Path(cases_path).read_text(encoding="utf-8"))
    for case in cases:
        parameters = json.dumps(case.get("parameters", {}), ensure_ascii=False)
        code = case["code"]
        write(directories["formula"], f"{code}\0{parameters}")
        if code.startswith("lambda") and ":" in code:
            write(directories["formula"], f"{code.split(':', 1)[1].strip()}\0{parameters}")
        write(directories["json"], parameters)
        if "result" in case:
            write(directories["json"], json.dumps(case["result"], ensure_ascii=False))


if __name__ == "__main__":
    main()
