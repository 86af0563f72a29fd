"""A model for other runtimes: ONNX in float32 and int8, with a report of what changed."""

from darl.export.onnx_folder import export_onnx
from darl.export.onnx_model import OnnxModel

__all__ = ["OnnxModel", "export_onnx"]
