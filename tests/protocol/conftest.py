"""How far the property tests search: EMULATION_PROFILE=thorough looks much further."""

import os

from hypothesis import settings

# Without a deadline: a busy machine is no failure. The same examples in each run: what fails here
# fails there.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("thorough", deadline=None, max_examples=5_000, stateful_step_count=100)
settings.load_profile(os.environ.get("EMULATION_PROFILE", "quick"))
