"""Answers an HTTP request: POST {"name": "Ada"} to it, or GET it with ?name=Ada."""

import json
import os
import sys
from urllib.parse import parse_qs


def answer(status, value):
    sys.stdout.write(f"Status: {status}\nContent-Type: application/json\n\n")
    json.dump(value, sys.stdout)
    print()


if os.environ.get("REQUEST_METHOD") == "POST":
    try:
        name = json.load(sys.stdin)["name"]
    except (ValueError, KeyError, TypeError):
        answer("400 Bad Request", {"error": 'send {"name": "…"}'})
        sys.exit()
else:
    name = parse_qs(os.environ.get("QUERY_STRING", "")).get("name", ["world"])[0]
answer("200 OK", {"greeting": f"Hello, {name}!", "path": os.environ.get("PATH_INFO", "")})
