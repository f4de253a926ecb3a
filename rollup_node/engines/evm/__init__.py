"""The EVM engine: anvil as a child process (``process``), driven block by block (``engine``)."""

from rollup_node.engines.evm.engine import EvmEngine

__all__ = ["EvmEngine"]
