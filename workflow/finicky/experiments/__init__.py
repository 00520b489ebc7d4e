"""The experiments, a module each: `measure` turns tables into numbers, `draw` draws them."""
