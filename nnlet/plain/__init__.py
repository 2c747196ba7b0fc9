"""Plain ONNX: a model without the operators of ai.onnx.ml, for providers that know none.

OpenVINO computes ONNX's own operators only. `lower` replaces each node of ai.onnx.ml by nodes
that answer the same: PLAIN says by what. What the nodes mean is read by the compiler's own code
(nnlet/compiler/ops); only what is made of it differs.
See docs/decisions/0017-plain-onnx-for-openvino.md.
"""

from nnlet.plain.lower import PLAIN, has_ml, lower

__all__ = ["PLAIN", "has_ml", "lower"]
