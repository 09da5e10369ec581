"""Compile what every message passes, where the builder of a wheel asks for it.

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 pip install .

It needs a C compiler and Python's headers. The compiled modules (mypyc) stand beside their sources
in the wheel and do the same, faster; without the variable, and in an editable install, the wheel is
pure Python.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Exceptions, enumerations of integers and what frameworks inspect stay as they are: mypyc compiles
# none of these, or not so that they look the same from outside.
COMPILED = """
    bridge carrier deadlines eager registry session
    protocol/codec protocol/connection protocol/frames protocol/handshake protocol/requests
    transports/attach transports/direct transports/exchange transports/headers transports/marker
    transports/opening transports/poll transports/scope transports/shortcut transports/stream
    transports/upstream transports/websocket
""".split()


class CustomBuildHook(BuildHookInterface[Any]):
    """Add the compiled modules to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the install is editable: there the sources are to be edited."""
        if version == "editable":
            return
        # Of the build alone: who builds without the hook needs neither.
        from mypyc.build import mypycify
        from setuptools import Distribution

        self._built = tempfile.TemporaryDirectory()
        target = Path(self._built.name)
        paths = [f"emulation/{name}.py" for name in COMPILED]
        before = Path.cwd()
        os.chdir(self.root)  # mypy names modules by it, and finds its settings there
        try:
            modules = mypycify(
                ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", *paths],
                opt_level="3",
                debug_level="0",
                target_dir=str(target / "c"),
            )
            distribution = Distribution({"name": "websocket-emulation", "ext_modules": modules})
            command = distribution.get_command_obj("build_ext")
            command.build_lib = str(target / "lib")
            command.build_temp = str(target / "temp")
            command.ensure_finalized()
            command.run()
        finally:
            os.chdir(before)
        for path in (target / "lib").rglob("*.*"):
            build_data["force_include"][str(path)] = str(path.relative_to(target / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Forget what is in the wheel now."""
        if version != "editable":
            self._built.cleanup()
