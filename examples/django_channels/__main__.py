"""`python -m examples.django_channels`."""

from examples.django_channels.app import application
from examples.serve import serve

# Django has no lifespan.
serve(application, "A counter in Django Channels.", lifespan="off")
