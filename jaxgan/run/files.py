"""`jaxgan.files` under the name by which the modules of runs import it."""

from jaxgan.files import exclusive as exclusive
from jaxgan.files import is_draft as is_draft
from jaxgan.files import write_atomically as write_atomically
