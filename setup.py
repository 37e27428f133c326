"""What pyproject.toml cannot say: the compiled modules, and the browser bundle.

Environment, read at build time:

``SIOCORE_NO_EXTENSIONS=1``
    build none of the compiled modules: pure Python.
``SIOCORE_REQUIRE_EXTENSIONS=1``
    fail where a module does not compile. Without it, a missing C compiler leaves a slower but complete package.
"""

from __future__ import annotations

import ast
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

ROOT = Path(__file__).resolve().parent

#: Compiled module -> its source. Those over pointers have a twin in Python; JSON is that twin, with types in its .pxd.
CODECS = {
    "siocore._speedups._json": "src/siocore/codec/json.py",
    "siocore._speedups._engineio": "src/siocore/_speedups/_engineio.pyx",
    "siocore._speedups._frames": "src/siocore/_speedups/_frames.pyx",
    "siocore._speedups._heads": "src/siocore/_speedups/_heads.pyx",
    "siocore._speedups._socketio": "src/siocore/_speedups/_socketio.pyx",
    "siocore._speedups._steps": "src/siocore/_speedups/_steps.pyx",
}

#: Where the source of a module that is compiled in place is not the file of its name.
POINTERS = {
    "siocore._driver.transfer": "src/siocore/_speedups/_transfer.pyx",
    "siocore.redis._resp": "src/siocore/_speedups/_resp.pyx",
}


def in_place() -> dict[str, str]:
    """Modules compiled in place -> their sources. Each .pxd lies beside the source that it adds C types to."""
    selector = ast.parse((ROOT / "src/siocore/_speedups/__init__.py").read_text(encoding="utf-8"))
    names = next(
        ast.literal_eval(node.value)
        for node in selector.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "IN_PLACE"
    )
    return {name: POINTERS.get(name, f"src/{name.replace('.', '/')}.py") for name in names}


def enabled(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def flags(name: str) -> list[str]:
    if os.name != "posix":
        return []
    # The unmasking loop is vectorised from -O3 on; some Pythons are configured with -O2. Elsewhere -O3 is only larger.
    return ["-O3" if name in CODECS else "-O2"]


def extensions() -> list[Extension]:
    if enabled("SIOCORE_NO_EXTENSIONS") or sys.implementation.name != "cpython":
        return []
    from Cython.Build import cythonize

    modules = [
        Extension(name, [source], extra_compile_args=flags(name)) for name, source in (CODECS | in_place()).items()
    ]
    # The C files stay out of the source tree, and so out of the sdist: they are made anew by every build.
    compiled: list[Extension] = cythonize(  # type: ignore[no-untyped-call]
        modules,
        build_dir="build/cython",
        include_path=["src"],
        # Annotations are for type checkers; the C types are in the .pxd files.
        compiler_directives={"language_level": 3, "annotation_typing": False, "nonecheck": True},
        nthreads=os.cpu_count() or 1,
    )
    return compiled


class BuildAllOrNone(build_ext):
    """Without ``SIOCORE_REQUIRE_EXTENSIONS``, what keeps one module from being compiled leaves the package pure."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1

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
