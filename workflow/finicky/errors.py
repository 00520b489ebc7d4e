"""The one error that a user can mend: bad input, said in one line."""

from pathlib import Path


class InputError(Exception):
    """Something the user wrote or provided is wrong.

    The message is one line: where (a file), which key, what was found, what is allowed.
    """

    def __init__(self, where, key, found, allowed):
        parts = [str(where)]
        if key:
            parts.append(str(key))
        super().__init__(f"{': '.join(parts)}: found {found}; allowed: {allowed}")
        self.where, self.key, self.found, self.allowed = where, key, found, allowed


class Damaged(InputError):
    """A file of results is not what was written: a disk's fault, or an editor's."""

    def __init__(self, path, why):
        said = " ".join(str(why).split())[:200]
        self.committed = "reference" in Path(path).parts
        again = f"git checkout -- {path}" if self.committed else "the same command again"
        super().__init__(path, None, f"a damaged file: {said}", again)

    def remove(self):
        """Remove the file, so that it is missed and made again; not one that nobody makes."""
        if not self.committed:
            Path(self.where).unlink(missing_ok=True)
