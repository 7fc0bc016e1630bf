"""Pure functions: models and data, or histories of runs, in; a tidy table out."""
