import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "ubiops" / "__init__.py").read_text(), re.MULTILINE)
assert VERSION is not None

EMULATOR = [
    "starlette>=0.41.3",
    "uvicorn>=0.35",
    "h11>=0.14",
    "websockets>=15.0",
    "python-multipart>=0.0.20",
    "sqlalchemy>=2.0.37",
    "jsonschema>=4.21",
    "pyyaml>=6.0",
    "croniter>=3.0",
    "simpleeval>=1.0",
    "lark>=1.1.9",
    "google-re2>=1.1.20240702",
    "packaging>=23.0",
]

EXTRAS = {
    "emulator": EMULATOR,
    "deploy": ["pathspec>=0.12", "pyyaml>=6.0", "packaging>=23.0"],
    "progress": ["tqdm>=4.66"],
    "pandas": ["pandas>=2.0"],
    "matplotlib": ["matplotlib>=3.8"],
    "socks": ["PySocks>=1.7"],
}

setup(
    name="ubiops",
    version=VERSION[1],
    description="Python client of the UbiOps API, of every generation, with an emulator to try it on",
    author="The ubiops developers",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["ubiops", "ubiops.*"]),
    package_data={
        "ubiops": ["openapi.json", "openapi.yaml", "py.typed"],
        "ubiops.api": ["*.pyi"],
        "ubiops.emulator.execution": ["bootstrap/*.py"],
    },
    install_requires=(ROOT / "requirements.txt").read_text().split(),
    extras_require={**EXTRAS, "all": sorted({requirement for extra in EXTRAS.values() for requirement in extra})},
    entry_points={"pytest11": ["ubiops = ubiops.pytest_plugin"]},
    keywords=["ubiops", "rest", "api", "client", "sdk", "machine learning", "emulator"],
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Framework :: IPython",
        "Framework :: Pytest",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: Scientific/Engineering",
        "Topic :: Software Development :: Libraries :: Python Modules",
        "Typing :: Typed",
    ],
)
