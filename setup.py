"""Build of the compiled kernel: everything else about the package stands in pyproject.toml.

HOLDFAST_KERNEL_DEBUG=1 builds the debug kernel: every index and invariant checked, hardly optimised.
HOLDFAST_KERNEL_SANITIZE=1 adds AddressSanitizer and UndefinedBehaviorSanitizer to it.
HOLDFAST_KERNEL_FUZZ=1 adds the coverage counters of a fuzzer (needs clang) to it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CCompilerError, CompileError, ExecError, PlatformError

PACKAGES = Path("src")


def _compiled_modules() -> tuple[str, ...]:
    """List the modules that are compiled: those with a stub, which tells type checkers what Cython makes of them."""
    return tuple(
        ".".join(stub.relative_to(PACKAGES).with_suffix("").parts) for stub in sorted(PACKAGES.rglob("*.pyi"))
    )


MODULES = _compiled_modules()


def _is_set(name: str) -> bool:
    return os.environ.get(name, "") not in {"", "0"}


SANITIZE = _is_set("HOLDFAST_KERNEL_SANITIZE")
FUZZ = _is_set("HOLDFAST_KERNEL_FUZZ")
DEBUG = _is_set("HOLDFAST_KERNEL_DEBUG") or SANITIZE or FUZZ


def _compile_arguments() -> list[str]:
    arguments = ["-std=c11", "-fno-strict-aliasing", "-fvisibility=hidden"]
    arguments += [
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-unused-function",
        "-Wno-missing-field-initializers",
    ]
    arguments += ["-Wno-cast-function-type", "-Wno-unused-variable", "-Wno-unused-but-set-variable"]
    if DEBUG:
        arguments += ["-O1", "-g", "-fno-omit-frame-pointer", "-DHOLDFAST_KERNEL_DEBUG=1"]
    else:
        arguments += ["-O3", "-g1"]
    return arguments + _instrumentation()


def _instrumentation() -> list[str]:
    if SANITIZE:
        return ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    if FUZZ:
        return ["-fsanitize=fuzzer-no-link"]
    return []


class BuildKernel(build_ext):
    """Compile on all cores, and say in one sentence what is missing when there is no compiler."""

    def finalize_options(self) -> None:
        """Compile several modules at a time unless the caller says how many."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        """Build the extensions.

        Raises:
            SystemExit: If there is no working C compiler.
        """
        try:
            super().run()
        except (CCompilerError, CompileError, ExecError, PlatformError) as error:
            compiler = os.environ.get("CC", "cc")
            sys.exit(
                f"holdfast: the C compiler {compiler!r} is missing or failed ({error}); install one "
                "(Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc; "
                "macOS: xcode-select --install) and try again"
            )


class BuildPython(build_py):
    """Leave the sources of compiled modules out of the wheel: the package does not run uncompiled."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """List a package's modules but for those that are compiled."""
        # Setuptools has no annotations here.
        modules = super().find_package_modules(package, package_dir)  # type: ignore[no-untyped-call]
        return [module for module in modules if f"{package}.{module[1]}" not in MODULES]


def _extensions() -> Any:
    extensions = [
        Extension(
            module,
            [str(PACKAGES.joinpath(*module.split(".")).with_suffix(".py"))],
            extra_compile_args=_compile_arguments(),
            extra_link_args=_instrumentation(),
            define_macros=[("CYTHON_CLINE_IN_TRACEBACK", "0")],
        )
        for module in MODULES
    ]
    return cythonize(
        extensions,
        build_dir=os.environ.get("HOLDFAST_KERNEL_BUILD_DIR", "build/c"),
        include_path=["src"],
        compiler_directives={
            "language_level": "3",
            "boundscheck": DEBUG,
            "wraparound": DEBUG,
            "initializedcheck": DEBUG,
            "cdivision": True,
            "overflowcheck": False,
            "embedsignature": True,
            # Nothing compiled can be taken apart and put together again: what Cython would generate restores half an object.
            "auto_pickle": False,
            "freethreading_compatible": False,
        },
        force=DEBUG,
        nthreads=os.cpu_count() or 1,
    )


setup(ext_modules=_extensions(), cmdclass={"build_ext": BuildKernel, "build_py": BuildPython})
