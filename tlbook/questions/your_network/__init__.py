"""What did pre-training give *your* network? Any network and weights, on a folder of images, in so many
minutes."""
