"""Asks one node on loopback, as a health check of its container: ``health.py URL PATH [JSON-RPC call]``. Standard library alone."""

import json
import sys
from urllib.request import Request, urlopen

PATIENCE_S = 4.0


def main(url: str, path: str, call: str = "") -> bool:
    """Whether a full request is answered, a JSON-RPC call with a result."""
    request = Request(url + path, data=call.encode() or None, headers={"content-type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=PATIENCE_S) as response:  # noqa: S310 - loopback, given by the runtime
        body = response.read()
    return not call or "result" in json.loads(body)


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
