"""Files to arrays, and back. Nothing here knows what a model is.

Files are untrusted: sizes are checked before memory is taken.
"""


class FormatError(ValueError):
    """A file that is not what its name says, is damaged, or asks for too much. Names the file and the fault."""
