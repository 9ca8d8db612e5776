"""The report stage: what to check before training, on a contact sheet and on a page."""
