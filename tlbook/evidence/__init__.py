"""From a table to what is said of it: records, intervals, the paper's numbers, statements, the look of figures."""
