"""hypothesis times each example; on a busy machine that tells of the machine, not of the code."""

from hypothesis import HealthCheck, settings

settings.register_profile("webapi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("webapi")
