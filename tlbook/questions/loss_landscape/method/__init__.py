"""The algorithms of loss landscape: models, data or tables in, tidy tables out."""
