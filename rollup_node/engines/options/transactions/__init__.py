"""What users, oracles and L1 send: strict ABI, signed actions, refusals with selectors, receipts. All of it is pure."""
