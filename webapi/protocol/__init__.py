"""RFC 6455's wire, sans-I/O: bytes in, messages out, and the other way round.

Spec: https://www.rfc-editor.org/rfc/rfc6455
"""
