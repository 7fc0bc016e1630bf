"""One file per question: a table in, a matplotlib Figure out."""
