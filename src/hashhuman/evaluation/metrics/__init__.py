"""How close a picture is to the truth: the functions, LPIPS, and the protocols that say what is measured where."""
