"""``python -m bridge.relayer``."""

from bridge.relayer.node import main

main()
