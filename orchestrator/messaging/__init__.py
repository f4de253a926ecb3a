"""Messages from one rollup to another as a user sends, finds and follows them.

``terms`` (pure) says what is asked for and how long it takes, ``logs`` finds messages, ``reading`` asks the chains how far one is, ``sending``
puts them together.
"""
