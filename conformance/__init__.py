"""Conformance runs of webapi against suites that others maintain (not part of the package)."""
