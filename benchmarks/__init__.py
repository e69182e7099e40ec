"""minicnn against PyTorch and Keras on TensorFlow, in one run, as ratios: `python -m benchmarks cpu`.

Not installed: run from a checkout, with `pip install -e ".[benchmarks]" matplotlib`.
"""
