"""One file per question, named like its notebook: `runs(scale, …)` and `tables(scale, …)`."""
