"""What is installed and fetched, whether a clip suits, whether its fit is good enough: python -m preprocess.doctor."""
