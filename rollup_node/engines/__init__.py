"""Execution engines behind one small seam (``base``): ``evm`` is anvil."""
