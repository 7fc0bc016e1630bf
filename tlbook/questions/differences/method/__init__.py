"""The algorithms of differences: models, data or tables in, tidy tables out."""
