"""``python -m rollup_node``."""

from rollup_node.node import main

main()
