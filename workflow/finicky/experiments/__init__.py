"""The experiments, one measuring module each, and the helpers that they share."""
