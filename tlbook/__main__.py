"""`python -m tlbook …` is `tlbook …`."""

from tlbook.cli import main

if __name__ == "__main__":
    main()
