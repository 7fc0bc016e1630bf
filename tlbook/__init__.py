"""What is being transferred in transfer learning? A literate reproduction, and a tool for your own models."""

__version__ = "0.1.0"
