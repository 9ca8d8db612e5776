"""EasyMocap: its folders read, and the user's own copy of it run."""
