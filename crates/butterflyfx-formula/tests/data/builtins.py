"""Fills in what CPython 3.13 answers for each expression of builtins.txt.

    python3.13 builtins.py

A line holds an expression, a tab, and its repr or its exception with the message. To add a case,
add a line with the expression alone and run this.
"""

import math
import pathlib
import re
import sys
import warnings

assert sys.version_info[:2] == (3, 13), "the reference is CPython 3.13"
warnings.simplefilter("ignore")


def answer(expression):
    try:
        shown = repr(eval(expression, {"math": math}))
    except Exception as exception:
        shown = f"{type(exception).__name__}: {exception}"
    # Suggestions depend on what else has a similar name, so we make none.
    shown = re.sub(r"\. Did you mean '.*'\?$", "", shown)
    return shown.replace("\n", "\\n").replace("\t", "\\t")


file = pathlib.Path(__file__).with_name("builtins.txt")
lines = file.read_text(encoding="utf-8").splitlines()
cases = [line.split("\t")[0] for line in lines if line]
file.write_text("".join(f"{case}\t{answer(case)}\n" for case in cases), encoding="utf-8")
