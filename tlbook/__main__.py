"""`python -m tlbook …` is `tlbook …`."""

from tlbook.errors import door

if __name__ == "__main__":
    with door("tlbook: "):  # before what takes a second to import
        from tlbook.cli import main

        main()
