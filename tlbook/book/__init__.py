"""What readers and command lines see: pages, parameters, results, the scorecard, and how the book is built."""
