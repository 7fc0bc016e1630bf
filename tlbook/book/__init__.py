"""What readers and command lines see: pages, parameters, results, the scorecard, how the book is built."""
