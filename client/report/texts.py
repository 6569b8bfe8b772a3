"""What others have said, made harmless and short."""

#: Letters of one text at most; reasons may carry a whole line of an error.
LONGEST = 400


def tidy(text: object) -> str:
    """One line without letters that do not print (they could turn a text around or end a file): these are shown as escapes."""
    said = "" if text is None else str(text)
    if len(said) > LONGEST:
        said = said[:LONGEST] + " ..."
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in said)


def shorter(text: str, most: int) -> str:
    """The beginning and the end of a name."""
    said = tidy(text)
    if len(said) <= most:
        return said
    head = (most - 1) * 2 // 3
    return f"{said[:head]}…{said[-(most - 1 - head) :]}"
