"""The algorithms of criticality: models, data or tables in, tidy tables out."""
