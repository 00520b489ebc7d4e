"""The training engine: many small networks trained together as stacked tensors."""
