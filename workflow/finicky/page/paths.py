"""Where files lie: links from the page to them, and the commands that make them again.

All paths are given from the root of the repository, as the workflow names its files.
"""

import posixpath


class Paths:
    """The files of one preset's page; of the example page, those that are committed."""

    def __init__(self, preset, example=False):
        self.preset, self.example = preset, example
        self.folder = f"results/{preset}"
        self.configfile = f"config/{'config' if preset == 'default' else preset}.yaml"
        self._flag = "" if preset == "default" else f" --configfile {self.configfile}"

    def href(self, path):
        """A link to the file `path`, relative to the page. The example lies beside the folders of
        the seed sets, each of which has what `make reference` took from a preset's folder."""
        if not self.example:
            return posixpath.relpath(path, f"{self.folder}/report")
        below = posixpath.relpath(path, self.folder).removeprefix("report/")
        return f"{self.preset}/{below}"

    def links(self, files):
        """Links to files: {name: path} becomes [(name, link)]."""
        return [(name, self.href(path)) for name, path in files.items()]

    def downloads(self):
        """Links to what the whole page is made of, by name."""
        names = {"runs": "tables/runs.parquet", "curves": "tables/curves.parquet",
                 "layers": "tables/layers.parquet", "evidence": "evidence.parquet",
                 "claims": "report/claims.json"}  # fmt: skip
        return {name: self.href(f"{self.folder}/{path}") for name, path in names.items()}

    def command(self, files):
        """The shell command that makes these files; empty for none."""
        return f"snakemake {' '.join(files)} --cores all{self._flag}" if files else ""

    def everything(self):
        """The commands that make the whole report: the short one, and the one behind it."""
        preset = "" if self.preset == "default" else f" PRESET={self.preset}"
        return [f"make report{preset}", f"snakemake --cores all{self._flag}"]
