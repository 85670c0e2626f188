"""Many runs at once: `python -m jaxgan.sweep`, and what a sweep file needs to say which."""

from jaxgan.sweep.plan import chain, fixed, over, product, zipped

__all__ = ["chain", "fixed", "over", "product", "zipped"]
