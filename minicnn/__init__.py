"""minicnn: classic CNNs on a small autograd engine, with instruments that show how gradients travel."""
