"""`python -m examples.fastapi_chat`."""

from examples.fastapi_chat.app import app
from examples.serve import serve

serve(app, "A chat in FastAPI.")
