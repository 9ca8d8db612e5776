"""The command line: what Hydra's entry points share, the console command, and sweeps."""
