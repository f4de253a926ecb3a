"""The L1 of a devnet: anvil with interval mining (``node``)."""
