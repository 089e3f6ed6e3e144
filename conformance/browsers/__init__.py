"""Differential conformance: the same scenarios in real browsers and in webapi."""
