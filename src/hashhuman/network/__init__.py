"""Small fully connected networks, one a part, all of one shape."""
