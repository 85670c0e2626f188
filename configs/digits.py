"""The paper's game on scikit-learn's 8x8 digits: no download, minutes on two CPU cores.

    python -m jaxgan.main --config=configs/digits.py
"""

from jaxgan.config import default


def get_config():
    config = default().unlock()
    return config.lock()
