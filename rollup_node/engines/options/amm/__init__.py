"""The options market maker of a new devnet: an account with a rule for its quotes (``quotes``). Pure."""
