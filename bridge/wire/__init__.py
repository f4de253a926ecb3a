"""The common language of all nodes; it imports nothing of the project.

::

    stages ─► journal            what happened to a message, one line per event
    transaction ─► bundle        what users sign and send
    slot ─► superbatch           what the sequencer decides and publishes
    jsonrpc                      how nodes talk (the one module with I/O besides the journal)
"""
