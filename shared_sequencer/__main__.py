"""``python -m shared_sequencer CONFIG.json``."""

from shared_sequencer.node import main

main()
