"""The one error that a user can mend: bad input, said in one line."""


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
