"""New motion for an avatar: motion files of others are read, carried over to its body, rendered and exported."""
