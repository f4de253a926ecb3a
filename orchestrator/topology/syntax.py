"""PyYAML's syntax errors in words that help.

PyYAML says what its parser expected; a user wants to know what to change. The table holds the mistakes that people make
in such files (tabs, a colon in a value, a lost bracket); anything else is passed on as PyYAML puts it.
"""

import yaml

from orchestrator.topology.errors import shown

_KNOWN = (
    ("'\\t' that cannot start", "a tab can't indent", "indent with spaces"),
    (
        "mapping values are not allowed",
        "a second ': ' where a value stands",
        "put a value with a colon in quotes, or mend the indentation",
    ),
    ("could not find expected ':'", "a key without a colon", "write key: value"),
    ("found unexpected end of stream", "the file ends inside quotes", "close the quotes"),
    ("found unexpected document separator", "the document ends inside quotes", "close the quotes"),
    ("expected ',' or '}'", "a { is not closed here", "put a comma between entries and } at the end"),
    ("expected ',' or ']'", "a [ is not closed here", "put a comma between members and ] at the end"),
    (
        "expected <block end>",
        "the indentation does not fit the lines above",
        "indent entries of one map alike",
    ),
    ("cannot start any token", "a value can't start with this character", "put the value in quotes"),
    ("duplicate", "a directive appears twice", "remove the lines that start with %"),
)


def explain(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    """What is wrong, and what to change."""
    said = error.problem or error.context or "unreadable"
    for part, message, hint in _KNOWN:
        if part in said:
            return f"is not YAML: {message}", hint
    return f"is not YAML: {shown(said)[1:-1]}", ""
