"""Files, pickles, checkpoints, locks, downloaded assets, threads, video and progress. Every layer may use them."""
