"""The first page: the data, the shuffles, and P itself."""
