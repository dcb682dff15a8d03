"""How far a set of images is from the data: features, their moments, and the distances between them."""
