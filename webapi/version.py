"""The package's version, where hatchling finds it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
