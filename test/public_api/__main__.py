"""`python -m test.public_api`: record the public API, at a release."""

from test.public_api.surface import RELEASED, current

RELEASED.write_text(current())
