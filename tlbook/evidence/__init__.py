"""From a table to what is said of it: the paper's numbers, statements, the look of figures."""
