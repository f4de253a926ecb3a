"""``python -m rollup_node CONFIG.json``."""

from rollup_node.node import main

main()
