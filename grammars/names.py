"""What may be a name: of a player, an oracle, a node, a grammar, a worker.

Names become lines of a terminal, letters of a picture, names of files and of actors. Each of these escapes the signs
that mean something there. None of them can show what is refused here.
"""


def fault_of(name: object) -> str:
    """What is wrong with a name; nothing where it can be one.

    >>> fault_of("[/x] <b>"), fault_of("a\\x1b[31m"), fault_of("")
    ('', "holds '\\\\x1b', which cannot be printed", 'is empty')
    """
    if not isinstance(name, str):
        return f"is a {type(name).__name__}, no string"
    if not name.strip():
        return "is empty"
    strange = next((letter for letter in name if not letter.isprintable()), None)
    return "" if strange is None else f"holds {strange!r}, which cannot be printed"
