"""Refuses names of players, oracles, nodes, grammars and workers that cannot be shown.

Names appear in terminal output, pictures, file names and names of actors. Each of these places escapes its own special
characters. The names that are refused here cannot be shown in any of these places.
"""


def fault_of(name: object) -> str:
    """Return the reason why a name is not allowed; an empty text if the name is allowed.

    >>> fault_of("[/x] <b>"), fault_of("a\\x1b[31m"), fault_of("")
    ('', "holds '\\\\x1b', which cannot be printed", 'is empty')
    """
    if not isinstance(name, str):
        return f"is a {type(name).__name__}, no string"
    if not name.strip():
        return "is empty"
    strange = next((letter for letter in name if not letter.isprintable()), None)
    return "" if strange is None else f"holds {strange!r}, which cannot be printed"
