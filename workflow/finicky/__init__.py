"""Finicky: measures what a textbook chapter on training neural networks claims."""
