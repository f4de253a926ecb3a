"""``python -m shared_sequencer``."""

from shared_sequencer.node import main

main()
