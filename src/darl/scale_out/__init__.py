"""The same work on many machines: the shards of a scoring job, done by the workers of a Ray cluster."""

from darl.scale_out.ray_engine import RayEngine

__all__ = ["RayEngine"]
