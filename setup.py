"""What pyproject.toml cannot say: the compiled modules, and the browser bundle.

Environment, read at build time:

``SIOCORE_NO_EXTENSIONS=1``
    build none of the compiled modules: pure Python.
``SIOCORE_REQUIRE_EXTENSIONS=1``
    fail where a module does not compile. Without it, a missing C compiler leaves a slower but complete package.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

# The build backend does not put the folder of setup.py on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from build_client import provide_bundle

#: Compiled module -> its source. The codecs are Python, compiled a second time with the .pxd files in _speedups/.
SOURCES = {
    "siocore._speedups._engineio": "src/siocore/codec/engineio.py",
    "siocore._speedups._json": "src/siocore/codec/json.py",
    "siocore._speedups._socketio": "src/siocore/codec/socketio.py",
    "siocore._speedups._frames": "src/siocore/_speedups/_frames.pyx",
    "siocore._speedups._heads": "src/siocore/_speedups/_heads.pyx",
}


def enabled(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def extensions() -> list[Extension]:
    if enabled("SIOCORE_NO_EXTENSIONS") or sys.implementation.name != "cpython":
        return []
    from Cython.Build import cythonize

    # The unmasking loop is vectorised from -O3 on; some Pythons are configured with -O2.
    flags = ["-O3"] if os.name == "posix" else []
    modules = [Extension(name, [source], extra_compile_args=flags) for name, source in SOURCES.items()]
    # The C files stay out of the source tree, and so out of the sdist: they are made anew by every build.
    compiled: list[Extension] = cythonize(  # type: ignore[no-untyped-call]
        modules, build_dir="build/cython", include_path=["src"]
    )
    return compiled


class BuildAllOrNone(build_ext):
    """Without ``SIOCORE_REQUIRE_EXTENSIONS``, what keeps one module from being compiled leaves the package pure."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as exc:
            if enabled("SIOCORE_REQUIRE_EXTENSIONS"):
                raise
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions.clear()
            print(f"warning: siocore is built without its compiled modules ({exc})", file=sys.stderr, flush=True)


class BuildWithBundle(build_py):
    def run(self) -> None:
        provide_bundle()
        super().run()


class SdistWithBundle(sdist):
    def run(self) -> None:
        provide_bundle()
        super().run()


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildAllOrNone, "build_py": BuildWithBundle, "sdist": SdistWithBundle},
)
