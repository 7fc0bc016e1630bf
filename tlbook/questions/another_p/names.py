"""What the tables call a P: the seed of its pre-training, as text, or one of these."""

OWN, NONE = "own", "-"  # the book's P; no P, as of RI-T
