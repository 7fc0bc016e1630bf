"""The algorithms of controls: models, data or tables in, tidy tables out."""
