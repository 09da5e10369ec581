"""`python -m examples.starlette_echo`."""

from examples.serve import serve
from examples.starlette_echo.app import app

serve(app, "An echo in Starlette.")
