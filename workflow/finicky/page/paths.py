"""Where files lie: links from the page to them, and the commands that make them again.

All paths are given from the root of the repository, as the workflow names its files.
"""

import posixpath


class Paths:
    """The files of one preset's page."""

    def __init__(self, preset):
        self.preset = preset
        self.folder = f"results/{preset}"
        self.configfile = f"config/{'config' if preset == 'default' else preset}.yaml"
        self._flag = "" if preset == "default" else f" --configfile {self.configfile}"

    def href(self, path):
        """A link to the file `path`, relative to the page."""
        return posixpath.relpath(path, f"{self.folder}/report")

    def links(self, files):
        """Links to files: {name: path} becomes [(name, link)]."""
        return [(name, self.href(path)) for name, path in files.items()]

    def command(self, files):
        """The shell command that makes these files; empty for none."""
        return f"snakemake {' '.join(files)} --cores 4{self._flag}" if files else ""

    def everything(self):
        """The commands that make the whole report: the short one, and the one behind it."""
        preset = "" if self.preset == "default" else f" PRESET={self.preset}"
        return [f"make report{preset}", f"snakemake --cores all{self._flag}"]
