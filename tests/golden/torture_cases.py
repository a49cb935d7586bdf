#!/usr/bin/env python3
"""Writes torture_cases.json: corner cases of derivatives with PyTorch's answers in f64, for tests/torture_test.cpp.

    /usr/bin/python3 torture_cases.py > torture_cases.json      (python3-torch 1.13 of Debian 12)

The cases stand in torture_elements.py, torture_structure.py and torture_spellings.py.
"""
import json
import sys

import torture_elements  # noqa: F401
import torture_spellings  # noqa: F401
import torture_structure  # noqa: F401
from torture_harness import answer, cases, numbers_of

answers = []
for c in cases:
    try:
        a = answer(c)
    except RuntimeError as error:
        if c["policy"] != "error-or-functional":
            sys.exit(f"{c['expr']}: {error}")
        a = {"id": c["id"], "title": c["expr"].split("\n")[0], "expr": c["expr"], "inputs": numbers_of(c["inputs"]),
             "policy": c["policy"], "tol": c["tol"]}
    a.pop("title")
    answers.append(a)
assert len({a["id"] for a in answers}) == len(answers)
print('{"cases":[')
print(",\n".join(json.dumps(a, separators=(",", ":")) for a in answers))
print("]}")
