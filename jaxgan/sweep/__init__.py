"""Many runs at once: settings times seeds, trained as populations, compared in a report.

A sweep file combines settings, {config field: value}, with `over`, `fixed`, `product`, `zipped` and `chain`;
`python -m jaxgan.sweep --sweep=FILE` trains them.
"""

from jaxgan.sweep.plan import chain, fixed, over, product, zipped

__all__ = ["chain", "fixed", "over", "product", "zipped"]
