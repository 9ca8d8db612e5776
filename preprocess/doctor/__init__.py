"""python -m preprocess.doctor: checks the installation, a clip before it is processed, and the fit afterwards."""
