"""What is refused before anything runs: values out of range, missing packages and files, folders that take nothing."""
