"""What shows the experiments' numbers: one module of figures and tables for each of them."""
