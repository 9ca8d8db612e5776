"""What a user types: Hydra entry points, the console command and sweeps."""
