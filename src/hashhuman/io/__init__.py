"""Files that are whole or absent, locks, fetched assets, threads and progress: what every layer may use."""
