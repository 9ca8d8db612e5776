"""What to look at before training: the contact sheet, and a page with everything that the stages left."""
