"""How a node is told what to be: JSON in one environment variable, or in a file named on the command line.

The environment is what runtimes fill in (ports, folders), the file is for running a node by hand.
"""

import os
import sys
from pathlib import Path
from typing import Any

import orjson

VARIABLE = "ROLLNET_CONFIG"
CHAOS_VARIABLE = "ROLLNET_CHAOS"
"""Set where nodes may be told to crash at a point; nobody else's node takes such an order."""
LISTEN_VARIABLE = "ROLLNET_LISTEN"
"""Address on which nodes listen; images set it, because a container's loopback is reached by nobody."""
LISTEN_ADDRESS = os.environ.get(LISTEN_VARIABLE, "127.0.0.1")
"""Loopback and nowhere else, unless the environment says so."""


def read_configuration() -> dict[str, Any]:
    """This process's configuration.

    Raises:
        SystemExit: there is none, or it is not a JSON object.
    """
    text = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else os.environ.get(VARIABLE, "").encode()
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise SystemExit(f"no configuration: give a JSON file, or JSON in ${VARIABLE} ({exc})") from exc
    if not isinstance(fields, dict):
        raise SystemExit("the configuration must be a JSON object")
    return fields
