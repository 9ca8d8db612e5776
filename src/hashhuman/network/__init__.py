"""Small fully connected networks, one for each part, all of the same shape."""
