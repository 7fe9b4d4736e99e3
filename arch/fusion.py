"""What a software stack does in the end of a matrix product, and what it launches a kernel of its own for."""

from pydantic import Field

from .values import Flag, SourceKind, Spec

_TORCH = "as torch calls cuBLAS, and vLLM on top of it: addmm has the bias as an epilogue; recalled"
_OWN = "torch and vLLM launch a kernel of its own; recalled"


def _flag(value: str, ref: str) -> Flag:
    return Flag.model_validate({"value": value, "kind": SourceKind.ASSUMED, "ref": ref})


class Fusion(Spec):
    """Elementwise operations behind a matrix product. What a fused one reads beside the product is not simulated."""

    bias: Flag = Field(default=_flag("true", _TORCH), description="the bias is added where the product is written")
    activation: Flag = Field(default=_flag("false", _OWN), description="so is the GELU computed")
    residual: Flag = Field(default=_flag("false", _OWN), description="so is the residual added")
